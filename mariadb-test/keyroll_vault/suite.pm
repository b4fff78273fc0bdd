package My::Suite::KeyrollVault;

@ISA = qw(My::Suite);

use strict;
use IO::Socket::INET;
use My::SafeProcess;

return "No plugin keyroll" unless $ENV{KEYROLL_SO};

# A real OpenBao: scripts/install_openbao.sh installs it, scripts/mtr.sh tells where it is.
$ENV{KEYROLL_BAO} ||= 'bao';
return "No OpenBao" unless `$ENV{KEYROLL_BAO} version 2>/dev/null` =~ /OpenBao/;

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

# One OpenBao for each of mtr's workers, ended with it; mtr asks for the text of one file of a list, and the rest is made on
# the way.
my $openbao;

sub config_files {
  my $dir= "$::opt_vardir/keyroll";
  mkdir $dir;
  ('keyroll/made' => \&make_secrets)
}

sub make_secrets {
  my ($config)= @_;
  # mtr has given it a port of this worker's.
  start_openbao($config->value('ENV', 'KEYROLL_VAULT_PORT')) unless $openbao;
  my $dir= "$::opt_vardir/keyroll";
  bao("operator unseal \$(cat $dir/unseal)");
  bao("secrets disable keys");
  bao("secrets enable -path=keys -version=2 kv");
  # The upgrade of a new mount runs in the background.
  for (1 .. 100) {
    last unless system("$ENV{KEYROLL_BAO} kv put keys/1 data=\$(openssl rand -hex 32) >/dev/null 2>&1");
    select undef, undef, undef, 0.1;
  }
  bao("kv put keys/2 data=\$(openssl rand -hex 32)");
  bao("policy write keyroll $dir/policy.hcl");
  bao("token create -policy=keyroll -period=1h -field=token >$dir/token");
  'keys 1 and 2'
}

sub bao {
  my ($command)= @_;
  my $said= `{ $ENV{KEYROLL_BAO} $command; } 2>&1`;
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
  my $made= `cd $dir && {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -subj /CN=CA -x509 -days 5 -out ca.pem &&
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -subj /CN=bao -out server.csr &&
    echo subjectAltName=IP:127.0.0.1 >ext &&
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 5 -out server.pem -extfile ext; } 2>&1`;
  die "openssl: $made" if $?;
  write_file("$dir/config.hcl", <<END);
storage "raft" { path = "$dir/raft" node_id = "n1" }
listener "tcp" {
  address = "127.0.0.1:$port" cluster_address = "127.0.0.1:$cluster"
  tls_cert_file = "$dir/server.pem" tls_key_file = "$dir/server.key"
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

sub write_file {
  my ($path, $text)= @_;
  open my $file, '>', $path or die "$path: $!";
  print $file $text;
  close $file or die "$path: $!";
}

sub is_default { 1 }

bless { };
