use std::io::ErrorKind;

use proptest::prelude::*;

use super::*;

/// What a proxy was asked, and what it answers, a few bytes at a time.
struct Answering<'a>(Vec<u8>, &'a [u8]);

impl Read for Answering<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let most = room.len().min(3);
        self.1.read(&mut room[..most])
    }
}

impl Write for Answering<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why it failed.
#[derive(Debug, PartialEq)]
enum Failure {
    Refused(ProxyRefusal),
    Io(ErrorKind),
}

/// What was asked, and how many bytes of the answer are left.
type Outcome = Result<(Vec<u8>, usize), Failure>;

fn outcome(proxy: Answering<'_>, result: io::Result<()>) -> Outcome {
    match result {
        Ok(()) => Ok((proxy.0, proxy.1.len())),
        Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(refusal) => Failure::Refused(*refusal),
            None => Failure::Io(error.kind()),
        }),
    }
}

fn ask_4(answer: &[u8], target: Target<'_>, user: &[u8]) -> Outcome {
    let mut proxy = Answering(Vec::new(), answer);
    let result = connect_4(&mut proxy, target, user);
    outcome(proxy, result)
}

fn ask_5(answer: &[u8], target: Target<'_>, login: Option<&Login>) -> Outcome {
    let mut proxy = Answering(Vec::new(), answer);
    let result = connect_5(&mut proxy, target, login);
    outcome(proxy, result)
}

const VAULT: Target<'_> = Target::Name("vault", 8200);

fn address(text: &str) -> Target<'static> {
    Target::Address(text.parse().unwrap())
}

fn login(user: &[u8], password: &[u8]) -> Login {
    Login {
        user: Zeroizing::new(user.to_vec()),
        password: Zeroizing::new(password.to_vec()),
    }
}

#[test]
fn socks_4_asks_as_its_memos_say() {
    let granted = [0, 90, 0, 0, 0, 0, 0, 0];
    for (target, user, asked) in [
        (
            address("192.0.2.7:8200"),
            "",
            b"\x04\x01\x20\x08\xc0\x00\x02\x07\0".as_slice(),
        ),
        (
            address("192.0.2.7:80"),
            "me",
            b"\x04\x01\x00\x50\xc0\x00\x02\x07me\0",
        ),
        (VAULT, "", b"\x04\x01\x20\x08\0\0\0\x01\0vault\0"),
        (VAULT, "me", b"\x04\x01\x20\x08\0\0\0\x01me\0vault\0"),
    ] {
        assert_eq!(
            ask_4(&granted, target, user.as_bytes()).unwrap(),
            (asked.to_vec(), 0)
        );
    }
    let refused = ask_4(&granted, address("[2001:db8::1]:80"), b"");
    assert_eq!(refused, Err(Failure::Refused(NO_IPV4)));
}

#[test]
fn socks_5_asks_as_its_rfcs_say() {
    let granted = b"\x05\0\x05\0\0\x01\0\0\0\0\0\0";
    for (target, asked) in [
        (
            address("192.0.2.7:80"),
            b"\x05\x01\0\x05\x01\0\x01\xc0\0\x02\x07\0\x50".as_slice(),
        ),
        (
            address("[2001:db8::1]:80"),
            b"\x05\x01\0\x05\x01\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50",
        ),
        (VAULT, b"\x05\x01\0\x05\x01\0\x03\x05vault\x20\x08"),
    ] {
        assert_eq!(ask_5(granted, target, None).unwrap(), (asked.to_vec(), 0));
    }
    let login = login(b"me", b"s3");
    let by_password = b"\x05\x02\x01\0\x05\0\0\x03\x02ab\0\0";
    let asked = b"\x05\x02\0\x02\x01\x02me\x02s3\x05\x01\0\x03\x05vault\x20\x08";
    assert_eq!(
        ask_5(by_password, VAULT, Some(&login)).unwrap(),
        (asked.to_vec(), 0)
    );
    // It may let in whoever asks.
    let asked = b"\x05\x02\0\x02\x05\x01\0\x03\x05vault\x20\x08";
    assert_eq!(ask_5(granted, VAULT, Some(&login)).unwrap(), (asked.to_vec(), 0));
}

#[test]
fn each_refusal_is_told_from_the_others() {
    let given = login(b"me", b"s3");
    for (answer, login, refusal) in [
        (b"\x05\x02".as_slice(), None, ProxyRefusal::WantsLogin),
        (b"\x05\xff", None, ProxyRefusal::WantsLogin),
        (b"\x05\x01", None, ProxyRefusal::WantsOtherLogin),
        (b"\x05\xff", Some(&given), ProxyRefusal::WantsOtherLogin),
        (b"\x05\x02\x01\x01", Some(&given), ProxyRefusal::LoginRefused),
        (b"\x05\0\x05\x02", None, ProxyRefusal::Socks5(2)),
        (b"\x05\0\x05\x05\0\x01\0\0\0\0\0\0", None, ProxyRefusal::Socks5(5)),
        (b"\x05\0\x04\0", None, ProxyRefusal::OtherProtocol("SOCKS 5")),
        (
            b"\x05\0\x05\0\0\x02",
            None,
            ProxyRefusal::OtherProtocol("SOCKS 5"),
        ),
        (b"HTTP/1.1", None, ProxyRefusal::OtherProtocol("SOCKS 5")),
        (
            b"\0\x5a\0\0\0\0\0\0",
            None,
            ProxyRefusal::OtherProtocol("SOCKS 5"),
        ),
    ] {
        assert_eq!(
            ask_5(answer, VAULT, login),
            Err(Failure::Refused(refusal)),
            "{answer:?}"
        );
    }
    for (answer, refusal) in [
        (b"\0\x5b\0\0\0\0\0\0".as_slice(), ProxyRefusal::Socks4(91)),
        (b"\0\x5d", ProxyRefusal::Socks4(93)),
        (b"\x05\0", ProxyRefusal::OtherProtocol("SOCKS 4")),
        (b"HTTP/1.1", ProxyRefusal::OtherProtocol("SOCKS 4")),
    ] {
        assert_eq!(
            ask_4(answer, VAULT, b""),
            Err(Failure::Refused(refusal)),
            "{answer:?}"
        );
    }
}

#[test]
fn a_name_that_is_too_long_is_not_cut() {
    let name = "v".repeat(MOST_BYTES + 1);
    let long = Target::Name(&name, 80);
    let fits = Target::Name(&name[1..], 80);
    let granted_5 = b"\x05\0\x05\0\0\x01\0\0\0\0\0\0";
    let granted_4 = [0, 90, 0, 0, 0, 0, 0, 0];
    for refused in [ask_5(granted_5, long, None), ask_4(&granted_4, long, b"")] {
        assert!(
            matches!(refused, Err(Failure::Refused(ProxyRefusal::CannotName(_)))),
            "{refused:?}"
        );
    }
    assert!(ask_5(granted_5, fits, None).is_ok() && ask_4(&granted_4, fits, b"").is_ok());
}

/// What a proxy of SOCKS 5 answers when it leads on.
fn granting() -> impl Strategy<Value = Vec<u8>> {
    let place = prop_oneof![
        any::<[u8; 4]>().prop_map(|address| [vec![IPV4], address.to_vec()].concat()),
        any::<[u8; 16]>().prop_map(|address| [vec![IPV6], address.to_vec()].concat()),
        prop::collection::vec(any::<u8>(), 0..=MOST_BYTES).prop_map(|name| [
            vec![NAME, name.len() as u8],
            name
        ]
        .concat()),
    ];
    (any::<bool>(), any::<u8>(), any::<u8>(), place, any::<[u8; 2]>()).prop_map(
        |(wants_login, version, reserved, place, port)| {
            let login: &[u8] = if wants_login { &[5, 2, version, 0] } else { &[5, 0] };
            [login, &[5, 0, reserved], &place, &port].concat()
        },
    )
}

proptest! {
    #[test]
    fn an_answer_of_socks_5_is_read_to_its_end_and_no_further(
        answer in granting(), behind in prop::collection::vec(any::<u8>(), 0..40), cut in any::<prop::sample::Index>(),
    ) {
        let login = login(b"me", b"s3");
        let whole = [answer.clone(), behind.clone()].concat();
        prop_assert_eq!(ask_5(&whole, VAULT, Some(&login)).unwrap().1, behind.len());
        let short = &answer[..cut.index(answer.len())];
        prop_assert_eq!(ask_5(short, VAULT, Some(&login)), Err(Failure::Io(ErrorKind::UnexpectedEof)));
    }

    #[test]
    fn an_answer_of_socks_4_is_read_to_its_end_and_no_further(
        rest in any::<[u8; 6]>(), behind in prop::collection::vec(any::<u8>(), 0..40), cut in 0usize..8,
    ) {
        let answer = [&[0, GRANTED], &rest[..]].concat();
        let whole = [answer.clone(), behind.clone()].concat();
        prop_assert_eq!(ask_4(&whole, VAULT, b"").unwrap().1, behind.len());
        prop_assert_eq!(ask_4(&answer[..cut], VAULT, b""), Err(Failure::Io(ErrorKind::UnexpectedEof)));
    }

    #[test]
    fn no_answer_makes_it_panic_or_wait_for_more_than_it_says(
        answer in prop::collection::vec(prop_oneof![Just(5u8), Just(0u8), 1..=4u8, any::<u8>()], 0..600),
    ) {
        let login = login(b"me", b"s3");
        for login in [None, Some(&login)] {
            if let Ok((_, left)) = ask_5(&answer, VAULT, login) {
                // The shortest one gives a name without letters.
                prop_assert!(answer.starts_with(&[5]) && left <= answer.len() - 9);
            }
        }
        if let Ok((_, left)) = ask_4(&answer, VAULT, b"me") {
            prop_assert!(answer.starts_with(&[0, GRANTED]) && left == answer.len() - 8);
        }
    }

    #[test]
    fn a_login_is_sent_whole_whatever_its_bytes_are(
        user in prop::collection::vec(1..=255u8, 0..=MOST_BYTES), password in prop::collection::vec(1..=255u8, 0..=MOST_BYTES),
    ) {
        let login = login(&user, &password);
        let (asked, _) = ask_5(b"\x05\x02\x01\0\x05\0\0\x01\0\0\0\0\0\0", VAULT, Some(&login)).unwrap();
        let sent = [&[1, user.len() as u8][..], &user, &[password.len() as u8], &password].concat();
        prop_assert!(asked[4..].starts_with(&sent));
    }
}
