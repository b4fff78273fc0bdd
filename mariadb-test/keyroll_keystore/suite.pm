package My::Suite::KeyrollKeystore;

@ISA = qw(My::Suite);

use strict;

return "No plugin keyroll" unless $ENV{KEYROLL_SO};

# The command: scripts/mtr.sh tells where it is, else it lies in the build tree or is installed.
$ENV{KEYROLL_BIN} ||= ::mtr_exe_maybe_exists("$::bindir/plugin/keyroll/bin/keyroll", "$::bindir/bin/keyroll");
return "No command keyroll" unless $ENV{KEYROLL_BIN};

# Each test starts with a fresh datadir and a fresh keystore: start_test has mtr stop the servers at the test's end, and
# what mtr does with no server running is to make the datadir and these files anew.
sub start_test {
  my ($self, $tinfo)= @_;
  for my $server (grep { $_->{name} =~ /^mysqld\./ } ::all_servers()) {
    my $dir= $server->value('datadir') . "/mtr";
    open my $file, '>', "$dir/force_restart" or die "$dir/force_restart: $!";
  }
  $self->SUPER::start_test($tinfo);
}

# A keystore with the keys 1 and 2, and the file with its master key. mtr asks for the text of one file of a list; the
# rest is made on the way.
sub config_files {
  my $dir= "$::opt_vardir/keyroll";
  mkdir $dir;
  chmod 0700, $dir;
  mkdir "$dir/master";
  chmod 0700, "$dir/master";
  # Where the example of an external command looks for its keys.
  $ENV{KEYROLL_EXEC_KEYS}= "$dir/rsa";
  mkdir "$dir/rsa";
  unlink glob("$dir/rsa/*");
  unlink glob("$dir/*"), glob("$dir/.keystore*"), glob("$dir/master/*"), glob("$dir/master/.*keyroll*");
  ('keyroll/made' => \&make_keystore)
}

sub make_keystore {
  my $dir= "$::opt_vardir/keyroll";
  my $log= `$ENV{KEYROLL_BIN} init --no-defaults --keystore $dir/keystore --master-key file:$dir/master/key 2>&1`;
  die "keyroll init: $log" if $?;
  $log
}

sub is_default { 1 }

bless { };
