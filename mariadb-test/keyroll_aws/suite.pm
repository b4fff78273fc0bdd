package My::Suite::KeyrollAws;

@ISA = qw(My::Suite);

use strict;
use IO::Socket::INET;

return "No plugin keyroll" unless $ENV{KEYROLL_SO};

# The command: scripts/mtr.sh tells where it is, else it lies in the build tree or is installed.
$ENV{KEYROLL_BIN} ||= ::mtr_exe_maybe_exists("$::bindir/plugin/keyroll/bin/keyroll", "$::bindir/bin/keyroll");
return "No command keyroll" unless $ENV{KEYROLL_BIN};

# moto, which plays AWS KMS, and boto3: scripts/install_aws_servers.sh installs them.
my $servers= $ENV{KEYROLL_AWS_SERVERS};
return "No moto: set KEYROLL_AWS_SERVERS" unless $servers && -x "$servers/bin/moto_server";

# A proxy before it that makes trouble.
return "No python3" if system('python3 -c "" 2>/dev/null');
sub trouble_py { "$ENV{MTR_SUITE_DIR}/../keyroll/std_data/trouble.py" }

# Credentials by the environment, as every client of AWS takes them.
$ENV{AWS_ACCESS_KEY_ID}= 'AKIATEST';
$ENV{AWS_SECRET_ACCESS_KEY}= 'canary-of-the-secret-access-key';

# The ends of pipes that shells wait for: however mtr ends, moto and the proxy end with it.
my ($until, $until_proxy);

# Each test starts with a fresh datadir and a fresh keystore, as start_test has mtr stop the servers at the test's end, and
# what mtr does with no server running is to make the datadir and these files anew.
sub start_test {
  my ($self, $tinfo)= @_;
  for my $server (grep { $_->{name} =~ /^mysqld\./ } ::all_servers()) {
    my $dir= $server->value('datadir') . "/mtr";
    open my $file, '>', "$dir/force_restart" or die "$dir/force_restart: $!";
  }
  $self->SUPER::start_test($tinfo);
}

# A moto for this worker, with a KMS key behind an alias, and a keystore that it wraps.
sub config_files {
  my $dir= "$::opt_vardir/keyroll";
  mkdir $dir;
  chmod 0700, $dir;
  unlink glob("$dir/*"), glob("$dir/.keystore*");
  start_moto($dir);
  start_proxy($dir);
  ('keyroll/made' => \&make_keystore)
}

sub free_port {
  my $socket= IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "no port: $!";
  $socket->sockport
}

sub start_moto {
  my ($dir)= @_;
  close $until if $until;
  my $port= free_port();
  open $until, '|-', 'sh', '-c',
    '"$@" >/dev/null 2>&1 & echo $! >"$0"; read -r _; kill -CONT $!; kill $!; wait $!',
    "$dir/moto.pid", "$servers/bin/moto_server", '-H', '127.0.0.1', '-p', $port or die "moto: $!";
  $ENV{KEYROLL_MOTO_PID}= "$dir/moto.pid";
  # mtr has made my.cnf by now; the server finds KMS by its environment.
  $ENV{KEYROLL_AWS_URL}= $ENV{AWS_ENDPOINT_URL_KMS}= "http://127.0.0.1:$port";
  $ENV{KEYROLL_KMS}= "$servers/bin/python $ENV{MTR_SUITE_DIR}/std_data/kms.py $ENV{KEYROLL_AWS_URL}";
  my $log= `$ENV{KEYROLL_KMS} new-key alias/mariadb 2>&1`;
  die "moto: $log" if $?;
}

sub make_keystore {
  my $dir= "$::opt_vardir/keyroll";
  my $log= `AWS_REGION=us-east-1 $ENV{KEYROLL_BIN} init --no-defaults --keystore $dir/keystore --master-key aws-kms:alias/mariadb 2>&1`;
  die "keyroll init: $log" if $?;
  $log
}

sub start_proxy {
  my ($dir)= @_;
  close $until_proxy if $until_proxy;
  my $made= `python3 @{[trouble_py()]} $dir certificates 2>&1`;
  die $made if $?;
  my $port= free_port();
  $ENV{KEYROLL_TROUBLE_URL}= "https://127.0.0.1:$port";
  open $until_proxy, '|-', 'sh', '-c', 'exec 2>"$0"; "$@" >&2 & read -r _; kill $!; wait $!',
    "$dir/trouble.log", 'python3', trouble_py(), $dir, 'serve', $port, $ENV{KEYROLL_AWS_URL} or die "trouble.py: $!";
  $ENV{KEYROLL_TROUBLE}= join ' ', 'python3', trouble_py(), $dir;
  $ENV{AWS_CA_BUNDLE}= "$dir/ca.pem";
}

sub is_default { 1 }

bless { };
