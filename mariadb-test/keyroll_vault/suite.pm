package My::Suite::KeyrollVault;

@ISA = qw(My::Suite);

use strict;
use IO::Socket::INET;
use My::SafeProcess;

return "No plugin keyroll" unless $ENV{KEYROLL_SO};

# The command: scripts/mtr.sh tells where it is, else it lies in the build tree or is installed.
$ENV{KEYROLL_BIN} ||= ::mtr_exe_maybe_exists("$::bindir/plugin/keyroll/bin/keyroll", "$::bindir/bin/keyroll");
return "No command keyroll" unless $ENV{KEYROLL_BIN};

# A real OpenBao: scripts/install_openbao.sh installs it, scripts/mtr.sh tells where it is.
$ENV{KEYROLL_BAO} ||= 'bao';
return "No OpenBao" unless `$ENV{KEYROLL_BAO} version 2>/dev/null` =~ /OpenBao/;

# A proxy before it that makes trouble.
return "No python3" if system('python3 -c "" 2>/dev/null');
sub trouble_py { "$ENV{MTR_SUITE_DIR}/../keyroll/std_data/trouble.py" }

# Each test starts with a fresh datadir and fresh secrets: start_test has mtr stop the servers at the test's end, and what
# mtr does with no server running is to make the datadir and these files anew.
sub start_test {
  my ($self, $tinfo)= @_;
  for my $server (grep { $_->{name} =~ /^mysqld\./ } ::all_servers()) {
    my $dir= $server->value('datadir') . "/mtr";
    open my $file, '>', "$dir/force_restart" or die "$dir/force_restart: $!";
  }
  $self->SUPER::start_test($tinfo);
}

# One OpenBao and one proxy for each of mtr's workers, ended with it, and a forward proxy for a test that wants one; mtr asks for the text of one file of a list, and the rest is made on
# the way.
my ($openbao, $proxy, $forward_proxy);

sub config_files {
  my $dir= "$::opt_vardir/keyroll";
  mkdir $dir;
  ('keyroll/made' => \&make_secrets)
}

sub make_secrets {
  my ($config)= @_;
  my $dir= "$::opt_vardir/keyroll";
  write_file("$dir/clock", '+0');
  # mtr has given them ports of this worker's.
  my ($port, $proxy_port)= map { $config->value('ENV', "KEYROLL_${_}_PORT") } 'VAULT', 'TROUBLE';
  start_openbao($port) unless $openbao;
  start_proxy($proxy_port, "https://127.0.0.1:$port") unless $proxy;
  # A test that gives its server a proxy.
  start_forward_proxy($1) if !$forward_proxy && ($config->group('ENV')->if_exist('https_proxy') // '') =~ /:(\d+)$/;
  bao("operator unseal \$(cat $dir/unseal)");
  bao("secrets disable keys");
  # A mount that a test makes.
  bao("secrets disable later");
  bao("secrets enable -path=keys -version=2 kv");
  # The upgrade of a new mount runs in the background.
  for (1 .. 100) {
    last unless system("$ENV{KEYROLL_BAO} kv put keys/1 data=\$(openssl rand -hex 32) >/dev/null 2>&1");
    select undef, undef, undef, 0.1;
  }
  bao("kv put keys/2 data=\$(openssl rand -hex 32)");
  bao("policy write keyroll $dir/policy.hcl");
  bao("token create -policy=keyroll -period=1h -field=token >$dir/token");
  chmod 0600, "$dir/token" or die "$dir/token: $!";
  my $server= $config->group('mysqld.1');
  make_keystore($port) if $server->if_exist('loose-keyroll-keystore');
  # A token that my.cnf can name before it is made, with the one more right that hashicorp_key_management needs.
  if (my $token= $server->if_exist('hashicorp-key-management-token')) {
    bao("policy write peer - <<'END'\npath \"sys/mounts/keys/tune\" { capabilities = [\"read\"] }\nEND\n");
    system("$ENV{KEYROLL_BAO} token revoke $token >/dev/null 2>&1");
    bao("token create -id=$token -policy=keyroll -policy=peer -period=1h");
  }
  'keys 1 and 2'
}

# A keystore with keys 1 and 2 whose master key is in transit.
sub make_keystore {
  my ($port)= @_;
  my $dir= "$::opt_vardir/keyroll";
  unlink glob("$dir/keystore*"), glob("$dir/.keystore*");
  bao('secrets disable transit');
  bao('secrets enable transit');
  bao('write -f transit/keys/mariadb');
  my $options= "--no-defaults --keystore $dir/keystore --master-key vault-transit:https://127.0.0.1:$port/transit/mariadb";
  my $said= `VAULT_TOKEN=\$(cat $dir/token) VAULT_CACERT=$dir/ca.pem $ENV{KEYROLL_BIN} init $options 2>&1`;
  die "keyroll init: $said" if $?;
}

sub bao {
  my ($command)= @_;
  my $said= `{ $ENV{KEYROLL_BAO} $command
} 2>&1`;
  die "bao $command: $said" if $?;
}

sub free_port {
  my $socket= IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no port: $!";
  $socket->sockport
}

sub start_openbao {
  my ($port)= @_;
  my $dir= "$::opt_vardir/keyroll";
  my $cluster= free_port();
  $ENV{VAULT_ADDR}= $ENV{BAO_ADDR}= "https://127.0.0.1:$port";
  $ENV{BAO_CACERT}= "$dir/ca.pem";
  mkdir "$dir/raft";
  my $made= `python3 @{[trouble_py()]} $dir certificates 2>&1`;
  die $made if $?;
  write_file("$dir/config.hcl", <<END);
storage "raft" { path = "$dir/raft" node_id = "n1" }
listener "tcp" {
  address = "127.0.0.1:$port" cluster_address = "127.0.0.1:$cluster"
  tls_cert_file = "$dir/good.pem" tls_key_file = "$dir/good.key"
}
api_addr = "https://127.0.0.1:$port"
cluster_addr = "https://127.0.0.1:$cluster"
pid_file = "$dir/bao.pid"
END
  # The policy of docs/vault.md, with the right to rotate.
  write_file("$dir/policy.hcl", <<'END');
path "keys/metadata/*" { capabilities = ["list", "read"] }
path "keys/data/*"     { capabilities = ["read", "create", "update"] }
path "keys/config"     { capabilities = ["read"] }
path "transit/encrypt/mariadb"     { capabilities = ["update"] }
path "transit/decrypt/mariadb"     { capabilities = ["update"] }
path "transit/keys/mariadb/rotate" { capabilities = ["update"] }
END
  my $args= ['server', "-config=$dir/config.hcl"];
  $openbao= My::SafeProcess->new(name => 'openbao', path => `which $ENV{KEYROLL_BAO}` =~ s/\n//r, args => \$args,
                                 output => "$dir/bao.log", error => "$dir/bao.log", append => 1);
  for (1 .. 300) {
    # 2: it runs, and is sealed.
    last if (system("$ENV{KEYROLL_BAO} status >/dev/null 2>&1") >> 8) == 2;
    select undef, undef, undef, 0.1;
  }
  my $secrets= `$ENV{KEYROLL_BAO} operator init -key-shares=1 -key-threshold=1 2>&1`;
  my ($key)= $secrets =~ /Unseal Key 1: (\S+)/ or die "bao operator init: $secrets";
  ($ENV{BAO_TOKEN})= $secrets =~ /Root Token: (\S+)/;
  write_file("$dir/unseal", $key);
}

sub start_proxy {
  my ($port, $url)= @_;
  my $dir= "$::opt_vardir/keyroll";
  my $args= [trouble_py(), $dir, 'serve', $port, $url];
  $proxy= My::SafeProcess->new(name => 'trouble', path => `which python3` =~ s/\n//r, args => \$args,
                               output => "$dir/trouble.log", error => "$dir/trouble.log", append => 1);
  $ENV{KEYROLL_TROUBLE}= join ' ', 'python3', trouble_py(), $dir;
}

sub start_forward_proxy {
  my ($port)= @_;
  my $dir= "$::opt_vardir/keyroll";
  my $args= ["$ENV{MTR_SUITE_DIR}/std_data/forward_proxy.py", $port, "$dir/forward_proxy.log"];
  $forward_proxy= My::SafeProcess->new(name => 'forward_proxy', path => `which python3` =~ s/\n//r, args => \$args,
                                       output => "$dir/forward_proxy.err", error => "$dir/forward_proxy.err", append => 1);
}

sub write_file {
  my ($path, $text)= @_;
  open my $file, '>', $path or die "$path: $!";
  print $file $text;
  close $file or die "$path: $!";
}

# For a server whose clock is wrong. One with a libc of its own may be unable to load it.
($ENV{KEYROLL_FAKETIME})= glob '/usr/lib/*/faketime/libfaketimeMT.so.1';
my $mariadbd= ::mtr_exe_maybe_exists("$::bindir/sbin/mariadbd", "$::bindir/sql/mariadbd", "$::bindir/libexec/mariadbd");
delete $ENV{KEYROLL_FAKETIME} if system("LD_PRELOAD=$ENV{KEYROLL_FAKETIME} $mariadbd --no-defaults --version >/dev/null 2>&1");

sub skip_combinations {
  my %skip;
  # mtr asks for the combinations that a sourced file may have beside it.
  $skip{'t/../include/have_hashicorp_key_management.combinations'}= 'needs hashicorp_key_management' unless $ENV{HASHICORP_KEY_MANAGEMENT_SO};
  $skip{'t/../include/have_faketime.combinations'}= 'needs libfaketime' unless $ENV{KEYROLL_FAKETIME};
  %skip
}

sub is_default { 1 }

bless { };
