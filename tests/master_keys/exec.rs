//! The external command: what it is given, what its end means, and every way in which it can fail us.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use keyroll::cancel;
use keyroll::master_key::{MasterKeyError, Wrapped};
use nix::sys::signal::{SigSet, Signal};
use test_support::master_keys::{KEYSTORE, PATIENT, Place, new_key, refused, wrap};
use test_support::programs::is_alone;

const SHORT: Duration = Duration::from_millis(700);

/// A command that answers every request to wrap alike.
const ANSWERS: &str = r#"echo '{"ciphertext":"AQIDBA==","key_version":"3"}'"#;

fn wrap_error(place: &Place) -> MasterKeyError {
    refused(place.open().wrap(&new_key(), KEYSTORE))
}

fn wrapped(length: usize) -> Wrapped {
    Wrapped {
        bytes: vec![7; length],
        key_version: "1".into(),
    }
}

/// Runs it, and sees that it took no longer than the deadline and a moment.
fn within<T>(timeout: Duration, call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    let took = start.elapsed();
    assert!(took < timeout + Duration::from_secs(5), "{took:?}");
    result
}

/// Whether a process runs; one that has ended and waits for init to reap it does not.
fn runs(pid: &str) -> bool {
    match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => !stat.rsplit(')').next().unwrap().starts_with(" Z"),
        Err(_) => false,
    }
}

fn assert_ends(pid: &str) {
    let start = Instant::now();
    while runs(pid) {
        assert!(start.elapsed() < Duration::from_secs(5), "{pid} still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_command_that_hangs_is_killed_with_its_group_at_the_deadline() {
    let place = Place::script("echo $$ >> $KEYROLL_EXEC_DIRECTORY/pids\nsleep 1000 &\necho $! >> $KEYROLL_EXEC_DIRECTORY/pids\nwait")
        .with_timeout(SHORT);
    let error = within(SHORT, || wrap_error(&place));
    assert!(matches!(error, MasterKeyError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("cannot be reached") && error.to_string().contains("0.7 s"));
    let pids = place.read("pids");
    let pids: Vec<&str> = pids.lines().collect();
    assert_eq!(pids.len(), 2);
    assert!(
        !Path::new("/proc").join(pids[0]).exists(),
        "the command is reaped"
    );
    pids.into_iter().for_each(assert_ends);
}

#[test]
fn a_command_that_nobody_waits_for_any_more_is_killed_with_its_group() {
    let place = Place::script(
        "echo $$ > $KEYROLL_EXEC_DIRECTORY/pids\nsleep 1000 &\necho $! >> $KEYROLL_EXEC_DIRECTORY/pids\nwait",
    );
    let start = Instant::now();
    let error = within(SHORT, || {
        cancel::while_wanted(move || start.elapsed() > SHORT, || wrap_error(&place))
    });
    assert!(matches!(error, MasterKeyError::Cancelled { .. }), "{error}");
    assert!(
        !error.is_retryable() && error.to_string().contains("the statement was killed"),
        "{error}"
    );
    place.read("pids").lines().for_each(assert_ends);
}

#[test]
fn a_command_that_ignores_signals_is_killed_all_the_same() {
    let place = Place::script(
        "trap '' TERM INT HUP PIPE\necho $$ > $KEYROLL_EXEC_DIRECTORY/pid\nwhile :; do sleep 0.05; done",
    )
    .with_timeout(SHORT);
    within(SHORT, || wrap_error(&place));
    assert!(!Path::new("/proc").join(place.read("pid").trim()).exists());
}

#[test]
fn a_grandchild_that_keeps_the_pipes_open_holds_nobody_up() {
    for start in ["sleep 1000 &", "setsid sleep 1000 &"] {
        let place = Place::script(&format!(
            "{start}\necho $! > $KEYROLL_EXEC_DIRECTORY/pid\necho warning >&2\n{ANSWERS}"
        ));
        let master = place.open();
        within(Duration::ZERO, || wrap(&*master));
        assert_eq!(place.told().len(), 1);
        let pid = place.read("pid");
        if start.starts_with("setsid") {
            // It has left the group, which is its own affair.
            let killed = std::process::Command::new("kill").arg(pid.trim()).status();
            assert!(killed.unwrap().success());
        }
        assert_ends(&pid);
    }
}

#[test]
fn a_command_that_closes_its_pipes_and_hangs_is_killed_at_the_deadline() {
    let place = Place::script("exec 0<&- 1>&- 2>&-\nexec sleep 1000").with_timeout(SHORT);
    let error = within(SHORT, || wrap_error(&place));
    assert!(matches!(error, MasterKeyError::Timeout { .. }), "{error}");
}

#[test]
fn a_command_that_does_not_read_its_request_may_answer() {
    wrap(&*Place::script(&format!("exec 0<&-\n{ANSWERS}")).open());
    // A request that no pipe takes in one piece.
    let place = Place::script(r#"echo '{"plaintext":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}'"#);
    let key = place.open().unwrap(&wrapped(16 * 1024), KEYSTORE).unwrap();
    assert_eq!(key.expose(), &[0; 32]);
    let place = Place::script("exec 0<&-\nsleep 0.2\nexit 1");
    let error = refused(place.open().unwrap(&wrapped(16 * 1024), KEYSTORE));
    assert!(matches!(error, MasterKeyError::Refused { .. }), "{error}");
}

#[test]
fn a_request_and_an_answer_of_full_length_pass() {
    let place = Place::script(
        "c=$(sed 's/.*\"ciphertext\":\"\\([^\"]*\\)\".*/\\1/')\nprintf '{\"ciphertext\":\"%s\"}' \"$c\" > $KEYROLL_EXEC_DIRECTORY/echo\nexit 65",
    );
    assert!(refused(place.open().unwrap(&wrapped(16 * 1024), KEYSTORE)).is_wrong_key());
    let back = Place::script(&format!("cat {}", place.path("echo").display()));
    let answer = back.open().wrap(&new_key(), KEYSTORE).unwrap();
    assert_eq!(answer.bytes, vec![7; 16 * 1024]);
}

#[test]
fn garbage_is_a_bad_answer_and_is_not_quoted() {
    let garbage = [
        ("echo hunter2", "not a JSON object"),
        ("head -c 3000 /dev/urandom", "answer to wrap that cannot be used"),
        ("true", "it is empty"),
        (r#"echo '{"ciphertext":"hunter2"}'"#, "not base64"),
        (r#"echo '{"ciphertext":"AQIDBA=="'"#, "ends too early"),
        ("cat", "a member is missing"),
        (
            r#"printf '{"ciphertext":"AQIDBA=='; kill -9 $$"#,
            "signal 9 killed it",
        ),
        (r#"sed 's/plaintext/ciphertext/'"#, "holds the key in clear"),
    ];
    for (script, reason) in garbage {
        let error = wrap_error(&Place::script(script));
        assert!(
            matches!(error, MasterKeyError::BadAnswer { .. }),
            "{script}: {error}"
        );
        let message = error.to_string();
        assert!(
            message.contains(reason) && !message.contains("hunter2"),
            "{script}: {message}"
        );
        assert!(!error.is_retryable() && !error.is_wrong_key());
        assert!(error.hint().contains("docs/exec-provider.md"));
    }
}

#[test]
fn an_endless_answer_ends_the_call() {
    for script in [
        "head -c 100000000 /dev/zero",
        "yes",
        "head -c 65537 /dev/zero",
        "yes & wait",
    ] {
        let error = within(Duration::ZERO, || wrap_error(&Place::script(script)));
        assert!(
            matches!(error, MasterKeyError::BadAnswer { .. }),
            "{script}: {error}"
        );
        assert!(error.to_string().contains("more than 65536 bytes"), "{error}");
    }
    let error = wrap_error(&Place::script("head -c 65536 /dev/zero"));
    assert!(matches!(error, MasterKeyError::BadAnswer { .. }), "{error}");
}

#[test]
fn endless_talk_on_stderr_is_cut_and_ends_at_the_deadline() {
    let place = Place::script(&format!(
        "yes 'the same again' | head -n 5000000 >&2\necho the end >&2\n{ANSWERS}"
    ));
    let master = place.open();
    wrap(&*master);
    let messages = place.told();
    assert_eq!(messages.len(), 20);
    assert!(messages[19].ends_with("command: the end"), "{messages:?}");

    let place = Place::script("yes >&2").with_timeout(SHORT);
    let error = within(SHORT, || wrap_error(&place));
    assert!(matches!(error, MasterKeyError::Timeout { .. }), "{error}");
}

#[test]
fn each_exit_code_has_its_meaning() {
    let run = |code: i32| {
        let place = Place::script(&format!("echo this and that >&2\nexit {code}")).with_timeout(SHORT);
        let master = place.open();
        let unwrapped = refused(master.unwrap(&wrapped(40), KEYSTORE));
        let message = unwrapped.to_string();
        assert!(message.contains(&format!("exit code {code}")), "{message}");
        assert!(message.ends_with("it said: this and that"), "{message}");
        assert!(place.told()[0].ends_with("/command: this and that"));
        (unwrapped, wrap_error(&place), master.rotate())
    };
    let mut texts = Vec::new();
    for code in [1, 2, 3, 63, 66, 74, 76, 126, 127, 255] {
        let (unwrap, wrap, rotate) = run(code);
        for error in [&unwrap, &wrap, &refused(rotate)] {
            assert!(matches!(error, MasterKeyError::Refused { .. }), "{code}: {error}");
            assert!(!error.is_retryable() && !error.is_wrong_key());
        }
        texts.push(unwrap.to_string());
    }
    let (unwrap, wrap, rotate) = run(65);
    assert!(unwrap.is_wrong_key() && !unwrap.is_retryable());
    assert!(!wrap.is_wrong_key() && !refused(rotate).is_wrong_key());
    assert!(unwrap.to_string().contains("is not the master key"), "{unwrap}");

    let (unwrap, wrap, rotate) = run(75);
    for error in [&unwrap, &wrap, &refused(rotate)] {
        assert!(matches!(error, MasterKeyError::Unreachable { .. }), "{error}");
        assert!(error.is_retryable() && error.to_string().contains("cannot be reached"));
    }

    let (unwrap, wrap, rotate) = run(64);
    assert!(matches!(unwrap, MasterKeyError::Refused { .. }), "{unwrap}");
    assert!(matches!(wrap, MasterKeyError::Refused { .. }), "{wrap}");
    rotate.unwrap();
}

#[test]
fn a_command_that_makes_no_versions_says_so_in_a_message() {
    let place = Place::script("exit 64");
    place.open().rotate().unwrap();
    let messages = place.told();
    assert!(
        messages.len() == 1 && messages[0].contains("newest one at its service"),
        "{messages:?}"
    );
}

#[test]
fn a_command_that_asks_for_it_is_tried_again() {
    let place = Place::script(&format!(
        "echo x >> $KEYROLL_EXEC_DIRECTORY/tries\n[ $(wc -l < $KEYROLL_EXEC_DIRECTORY/tries) -ge 3 ] || exit 75\n{ANSWERS}"
    ));
    wrap(&*place.open());
    assert_eq!(place.read("tries"), "x\nx\nx\n");
    let place = Place::script("echo x >> $KEYROLL_EXEC_DIRECTORY/tries\nexit 1");
    wrap_error(&place);
    assert_eq!(place.read("tries"), "x\n", "a refusal is final");
}

#[test]
fn a_command_that_cannot_be_run_is_named_with_the_cause() {
    let cannot_run = |place: &Place, cause: &str| {
        let error = wrap_error(place);
        assert!(matches!(error, MasterKeyError::CannotRun { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains("/command cannot be run: ") && message.contains(cause),
            "{message}"
        );
        assert!(error.hint().contains("executable"), "{}", error.hint());
    };
    let place = Place::script("true");
    let command = place.path("command");
    fs::set_permissions(&command, Permissions::from_mode(0o644)).unwrap();
    cannot_run(&place, "Permission denied");
    fs::remove_file(&command).unwrap();
    cannot_run(&place, "No such file");
    place.write("command", b"#!/no/such/interpreter\n", 0o755);
    cannot_run(&place, "No such file");
    fs::remove_file(&command).unwrap();
    fs::create_dir(&command).unwrap();
    cannot_run(&place, "not a regular file");
}

/// A shell would run a text that the system does not know how to run.
#[test]
fn there_is_never_a_shell_between() {
    let place = Place::script("");
    place.write("command", format!("{ANSWERS}\n").as_bytes(), 0o755);
    let error = wrap_error(&place);
    assert!(error.to_string().contains("Exec format error"), "{error}");

    let mut place = Place::empty();
    let name = "a b;$(touch x)`id`";
    let command = place.write(name, format!("#!/bin/sh\n{ANSWERS}\n").as_bytes(), 0o755);
    place.uri = format!("exec:{}", command.display());
    wrap(&*place.open());
}

#[test]
fn a_command_that_others_may_change_is_not_run() {
    let place = Place::script("touch $KEYROLL_EXEC_DIRECTORY/ran");
    fs::set_permissions(place.path("command"), Permissions::from_mode(0o775)).unwrap();
    let error = wrap_error(&place);
    assert!(
        error.to_string().contains("is not run") && error.hint().contains("chmod go-w"),
        "{error}"
    );
    fs::set_permissions(place.path("command"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.directory.path(), Permissions::from_mode(0o757)).unwrap();
    let error = wrap_error(&place);
    assert!(
        error.to_string().contains("is not run") && error.hint().contains("chmod go-w"),
        "{error}"
    );
    assert!(!place.path("ran").exists());
}

#[test]
fn a_command_starts_in_the_root_with_the_documented_environment_alone_in_a_group_of_its_own() {
    let mut place = Place::script(&format!(
        "{{ pwd; echo $PPID; ps -o pgid= -p $$; echo $$; echo $#; ls /proc/$$/fd | tr '\\n' ' '; }} > $KEYROLL_EXEC_DIRECTORY/seen\n\
         tr '\\0' '\\n' < /proc/$$/environ | sort > $KEYROLL_EXEC_DIRECTORY/environment\n{ANSWERS}"
    ));
    place.set("HOME", Path::new("/root"));
    place.set("LD_LIBRARY_PATH", Path::new("/tmp"));
    let directory = place.directory.path().display().to_string();
    wrap(&*place.open());
    assert_eq!(
        place.read("environment"),
        format!(
            "HOME=/root\nKEYROLL_EXEC_DIRECTORY={directory}\nLANG=C.UTF-8\n\
             PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        )
    );
    let seen = place.read("seen");
    let seen: Vec<&str> = seen.lines().map(str::trim).collect();
    assert_eq!(seen[0], "/");
    assert_eq!(seen[1], std::process::id().to_string());
    assert_eq!(seen[2], seen[3], "it leads its group");
    assert_eq!(seen[4], "0", "it has no arguments");
    // What the shell itself has open is from 10 on. What this process was given by its own parent, without the mark to be
    // closed, it cannot keep from the command; all that it opens itself has the mark.
    let marked = |fd: &str| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_some_and(|flags| u32::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000 != 0)
    };
    for fd in seen[5].split(' ').filter(|fd| fd.len() == 1 && *fd > "2") {
        assert!(
            Path::new(&format!("/proc/self/fd/{fd}")).exists() && !marked(fd),
            "{fd}"
        );
    }
}

#[test]
fn a_key_on_stderr_is_shown_nowhere() {
    // It traces itself, and then says the key in many ways.
    let place = Place::script(
        r#"set -x
read -r request
key=$(echo "$request" | sed 's/.*"plaintext":"\([^"]*\)".*/\1/')
echo "the key is $key" >&2
echo "$key" | base64 -d | od -An -tx1 >&2
echo "$key" | base64 -d | od -An -tu1 >&2
echo "$key" | base64 -d | xxd -p >&2 2>/dev/null
exit 1"#,
    );
    let (master, key) = (place.open(), new_key());
    let error = refused(master.wrap(&key, KEYSTORE));
    let mut said = place.told();
    assert!(
        said.iter().any(|line| line.ends_with("the key is [hidden]")),
        "{said:?}"
    );
    said.extend([error.to_string(), format!("{error:?}")]);
    let said = said.join("\n");
    let spaced = |form: fn(&u8) -> String| key.expose()[..4].iter().map(form).collect::<Vec<_>>().join(" ");
    use base64::Engine;
    for form in [
        base64::prelude::BASE64_STANDARD.encode(key.expose())[..8].to_owned(),
        hex::encode(&key.expose()[..4]),
        spaced(|byte| format!("{byte:02x}")),
        spaced(|byte| format!("{byte:>3}")),
    ] {
        assert!(!said.contains(&form), "{form}: {said}");
    }

    let place = Place::script(r#"sed 's/.*"plaintext":"\([^"]*\)".*/\1/' | base64 -d >&2; exit 1"#);
    let master = place.open();
    for _ in 0..50 {
        let key = new_key();
        let said = refused(master.wrap(&key, KEYSTORE)).to_string();
        let said = said.split("it said: ").nth(1).unwrap();
        assert!(said.starts_with("[hidden]"), "{said}");
    }
}

#[test]
fn unreachable_wrong_key_and_bad_answer_read_differently() {
    let of = |script: &str| {
        refused(
            Place::script(script)
                .with_timeout(SHORT)
                .open()
                .unwrap(&wrapped(40), KEYSTORE),
        )
    };
    let (away, wrong, bad) = (of("exit 75"), of("exit 65"), of("echo x"));
    assert!(away.to_string().contains("cannot be reached"));
    assert!(
        wrong
            .to_string()
            .contains("is not the master key of this keystore")
    );
    assert!(bad.to_string().contains("cannot be used"));
    let hints = [away.hint(), wrong.hint(), bad.hint()];
    assert!(hints[0] != hints[1] && hints[1] != hints[2] && hints[0] != hints[2]);
}

/// The server blocks these signals, and ignores PIPE; who starts it may ignore others, as mysqld_safe and nohup do.
#[test]
fn no_signal_is_blocked_or_ignored_in_a_command_and_a_timeout_an_alarm_and_a_pipe_work() {
    let ignoring = "trap '' HUP INT QUIT PIPE ALRM TERM TSTP";
    if !is_alone(
        "exec::no_signal_is_blocked_or_ignored_in_a_command_and_a_timeout_an_alarm_and_a_pipe_work",
        ignoring,
    ) {
        return;
    }
    let mask = |path: &str, name: &str| {
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    };
    let ours = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGPIPE,
        Signal::SIGALRM,
        Signal::SIGTERM,
        Signal::SIGTSTP,
    ];
    SigSet::from_iter(ours).thread_block().unwrap();
    let bits = ours.iter().map(|&signal| 1 << (signal as i32 - 1)).sum::<u64>();
    for name in ["SigBlk:", "SigIgn:"] {
        assert_eq!(mask("/proc/thread-self/status", name) & bits, bits, "{name}");
    }

    let place = Place::script(&format!(
        r#"d=$KEYROLL_EXEC_DIRECTORY
cat /proc/self/status > $d/status
timeout 1 sleep 1000; echo $? >> $d/ends
perl -e 'alarm 1; sleep 1000'; echo $? >> $d/ends
yes | head -n 1 > /dev/null
bash -c 'set -o pipefail; yes | head -n 1 > /dev/null'; echo $? >> $d/ends
bash -c 'trap "exit 7" TERM; kill -TERM $$; sleep 1000'; echo $? >> $d/ends
{ANSWERS}"#
    ));
    wrap(&*place.open());
    let status = place.path("status");
    for name in ["SigBlk:", "SigIgn:"] {
        // Of all signals with a name; the C library keeps two for itself.
        assert_eq!(mask(status.to_str().unwrap(), name) & 0x7fff_ffff, 0, "{name}");
    }
    let killed_by = |signal: Signal| 128 + signal as i32;
    let ends = format!(
        "124\n{}\n{}\n7\n",
        killed_by(Signal::SIGALRM),
        killed_by(Signal::SIGPIPE)
    );
    assert_eq!(place.read("ends"), ends);
}

#[test]
fn no_process_and_no_descriptor_is_left_behind() {
    // In a process of its own, whose children and descriptors are nobody else's.
    if !is_alone("exec::no_process_and_no_descriptor_is_left_behind", "") {
        return;
    }
    let count = |what: &str| fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let before = (count("fd"), count("task"));
    for script in [
        ANSWERS,
        "exit 1",
        "kill -9 $$",
        "sleep 1000",
        "yes",
        "sleep 1000 &",
    ] {
        let place = Place::script(script).with_timeout(Duration::from_millis(200));
        let _ = place.open().wrap(&new_key(), KEYSTORE);
    }
    assert_eq!((count("fd"), count("task")), before);
    let children = fs::read_to_string(format!("/proc/self/task/{}/children", nix::unistd::gettid())).unwrap();
    assert_eq!(children, "");
}

#[test]
fn the_example_needs_its_directory_and_is_then_of_some_use() {
    let place = Place::exec();
    let (_, first) = wrap(&*place.open());
    assert_eq!((first.key_version.as_str(), first.bytes.len()), ("1", 384));
    let mut unset = Place::exec();
    unset.options.environment.clear();
    let error = refused(unset.open().unwrap(&first, KEYSTORE));
    assert!(
        !error.is_wrong_key() && error.to_string().contains("KEYROLL_EXEC_KEYS"),
        "{error}"
    );
    // Without a single version there is nothing to wrap with.
    fs::remove_file(place.path("keys/1.pem")).unwrap();
    let error = wrap_error(&place.with_timeout(PATIENT));
    assert!(matches!(error, MasterKeyError::Refused { .. }), "{error}");
}
