package My::Suite::Keyroll;

@ISA = qw(My::Suite);

use strict;

return "No plugin keyroll" unless $ENV{KEYROLL_SO};

# The command: scripts/mtr.sh tells where it is, else it lies in the build tree or is installed.
$ENV{KEYROLL_BIN} ||= ::mtr_exe_maybe_exists("$::bindir/plugin/keyroll/bin/keyroll", "$::bindir/bin/keyroll");
return "No command keyroll" unless $ENV{KEYROLL_BIN};

# Each test starts with a fresh datadir and a fresh key file, so that a rotation in one test cannot be seen by the
# next: start_test has mtr stop the server at the test's end, and what mtr does with no server running is to make
# the datadir and these files anew.
sub start_test {
  my ($self, $tinfo)= @_;
  for my $server (grep { $_->{name} =~ /^mysqld\./ } ::all_servers()) {
    my $dir= $server->value('datadir') . "/mtr";
    open my $file, '>', "$dir/force_restart" or die "$dir/force_restart: $!";
  }
  $self->SUPER::start_test($tinfo);
}

sub config_files {
  my $dir= "$::opt_vardir/keyroll";
  mkdir $dir;
  unlink glob "$dir/*";
  ('keyroll/keys' => \&key_file)
}

sub key_file {
  # mtr has opened the file already, with a mode that keyroll would warn about.
  chmod 0600, "$::opt_vardir/keyroll/keys";
  open my $template, '<', "$ENV{MTR_SUITE_DIR}/std_data/keys" or die "std_data/keys: $!";
  local $/;
  <$template>;
}

sub is_default { 1 }

bless { };
