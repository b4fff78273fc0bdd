use std::collections::BTreeMap;
use std::io::{Cursor, ErrorKind};
use std::process::Command;

use super::tunnel::MAX_HEAD;
use super::*;
use crate::net::Url;

fn proxies(variables: &[(&str, &str)]) -> Proxies {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    Proxies::from_environment(|name| variables.get(name).copied())
}

/// Variable and scheme-less URL of the proxy that this URL is asked by.
fn chosen(variables: &[(&str, &str)], url: &str) -> Option<&'static str> {
    let url = Url::parse(url).unwrap();
    proxies(variables)
        .of(url.host(), url.is_https())
        .map(|proxy| proxy.variable)
}

const PROXY: &str = "http://127.0.0.1:9";

/// Names and values.
type Variables = &'static [(&'static str, &'static str)];

/// Settings of the environment, and URLs. Nothing listens at the proxy, and there is no such host.
const CASES: &[(Variables, &[&str])] = &[
    (&[], &["https://vault.invalid/", "http://vault.invalid/"]),
    (
        &[("https_proxy", PROXY)],
        &["https://vault.invalid:8200/", "http://vault.invalid/"],
    ),
    (
        &[("HTTPS_PROXY", PROXY), ("HTTP_PROXY", PROXY)],
        &["https://vault.invalid/", "http://vault.invalid/"],
    ),
    (
        &[("http_proxy", PROXY)],
        &["https://vault.invalid/", "http://vault.invalid/"],
    ),
    (
        &[("https_proxy", ""), ("all_proxy", PROXY)],
        &["https://vault.invalid/", "http://vault.invalid/"],
    ),
    (
        &[
            ("https_proxy", PROXY),
            ("HTTPS_PROXY", "http://127.0.0.1:8"),
            ("ALL_PROXY", PROXY),
        ],
        &["https://vault.invalid/", "http://vault.invalid/"],
    ),
    (
        &[("all_proxy", PROXY), ("no_proxy", "*")],
        &["https://vault.invalid/", "http://vault.invalid/"],
    ),
    (
        &[("all_proxy", PROXY), ("no_proxy", "*,x.invalid")],
        &["https://vault.invalid/"],
    ),
    (
        &[
            ("all_proxy", PROXY),
            (
                "no_proxy",
                "vault.invalid, corp.invalid,.dot.invalid ,end.invalid.",
            ),
        ],
        &[
            "https://vault.invalid/",
            "https://vault.invalid:8200/",
            "https://VAULT.Invalid/",
            "https://a.vault.invalid/",
            "https://myvault.invalid/",
            "https://vault.invalid.com/",
            "https://a.b.corp.invalid/",
            "https://corp.invalid/",
            "https://dot.invalid/",
            "https://a.dot.invalid/",
            "https://end.invalid/",
            "https://vault.invalid./",
            "https://invalid/",
        ],
    ),
    (
        &[("all_proxy", PROXY), ("no_proxy", "vault.invalid:8200")],
        &["https://vault.invalid:8200/", "https://vault.invalid/"],
    ),
    (
        &[
            ("all_proxy", PROXY),
            ("NO_PROXY", "vault.invalid"),
            ("no_proxy", ""),
        ],
        &["https://vault.invalid/", "https://other.invalid/"],
    ),
    (
        &[
            ("all_proxy", PROXY),
            ("NO_PROXY", "vault.invalid"),
            ("no_proxy", "other.invalid"),
        ],
        &["https://vault.invalid/", "https://other.invalid/"],
    ),
    (
        &[
            ("all_proxy", PROXY),
            (
                "no_proxy",
                "192.0.2.1,198.51.100.0/24,203.0.113.128/25,2001:db8::1",
            ),
        ],
        &[
            "https://192.0.2.1/",
            "https://192.0.2.2/",
            "https://198.51.100.7/",
            "https://198.51.101.7/",
            "https://203.0.113.127/",
            "https://203.0.113.128/",
            "https://[2001:db8::1]/",
            "https://[2001:db9::1]/",
        ],
    ),
    (
        &[
            ("all_proxy", PROXY),
            ("no_proxy", "192.0.2.0/33,192.0.2.9/0,2.1,192.0.2.x/24"),
        ],
        &["https://192.0.2.1/", "https://192.0.2.9/"],
    ),
];

#[test]
fn the_proxy_is_the_one_that_curl_takes() {
    for (variables, urls) in CASES {
        for url in *urls {
            let mut curl = Command::new("curl");
            curl.args(["-sv", "-o", "/dev/null", "--connect-timeout", "0.2", url]);
            curl.env_clear().envs(variables.iter().copied());
            let said = String::from_utf8(curl.output().unwrap().stderr).unwrap();
            let mut used = said.lines().filter_map(|line| {
                let variable = line.strip_prefix("* Uses proxy env variable ")?;
                variable.split(' ').next()
            });
            let theirs = used.find(|name| !name.eq_ignore_ascii_case("no_proxy"));
            let ours = chosen(variables, url);
            assert_eq!(ours, theirs, "{variables:?} {url}");
        }
    }
}

/// As the manual page says it; curl 7.88 does it for IPv4 alone.
#[test]
fn an_ipv6_network_is_excepted() {
    let list = [
        ("all_proxy", PROXY),
        ("no_proxy", "192.0.2.1, 2001:db8::/33,::ffff:0:0"),
    ];
    for (host, is_direct) in [
        ("2001:db8::1", true),
        ("2001:db8:7fff::1", true),
        ("2001:db8:8000::1", false),
        ("2001:db9::1", false),
        ("::ffff:0:0", true),
    ] {
        let url = format!("https://[{host}]/");
        assert_eq!(chosen(&list, &url).is_none(), is_direct, "{host}");
    }
}

#[test]
fn this_machine_and_metadata_services_are_never_asked_by_a_proxy() {
    let all = [("all_proxy", PROXY)];
    for host in [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "127.9.9.9",
        "[::1]",
        "169.254.169.254",
        "169.254.170.2",
        "[fe80::1]",
    ] {
        assert_eq!(chosen(&all, &format!("http://{host}:8200/")), None, "{host}");
    }
    assert_eq!(chosen(&all, "http://localhost.example/"), Some("all_proxy"));
    assert_eq!(chosen(&all, "http://170.254.169.254/"), Some("all_proxy"));
}

#[test]
fn a_proxys_url_is_taken_apart() {
    for (url, host, port, header) in [
        ("http://proxy:3128", "proxy", 3128, ""),
        ("proxy:3128", "proxy", 3128, ""),
        ("HTTP://proxy/ignored?too", "proxy", 1080, ""),
        ("[::1]:3128", "::1", 3128, ""),
        ("http://u:p@proxy:1", "proxy", 1, "dTpw"),
        ("u@proxy:1", "proxy", 1, "dTo="),
        ("http://u%40x:p%3Aw%@proxy:1", "proxy", 1, "dUB4OnA6dyU="),
        ("http://u:p@ss@proxy:1", "proxy", 1, "dTpwQHNz"),
        ("https://proxy", "proxy", 443, ""),
        ("https://proxy:3129/x", "proxy", 3129, ""),
        ("socks5h://u:p@proxy", "proxy", 1080, "dTpw"),
        ("SOCKS4A://[::1]:1081", "::1", 1081, ""),
        ("socks5://localhost", "localhost", 1080, ""),
        ("socks5://localhost/", "localhost", 1080, ""),
    ] {
        let proxy = Proxy::new("https_proxy", url);
        assert_eq!(proxy.address(), Some((host, port)), "{url}");
        let line = match header {
            "" => String::new(),
            header => format!("Proxy-Authorization: Basic {header}\r\n"),
        };
        assert_eq!(*proxy.header(), line, "{url}");
        assert!(proxy.check().is_ok());
    }
}

#[test]
fn what_names_no_proxy_is_refused_and_a_password_never_shown() {
    for (url, words) in [
        ("socks6://u:s3cr3t@proxy:1080", "only http, https, socks4"),
        ("ftp://u:s3cr3t@proxy", "only http, https, socks4"),
        (
            "socks5h://u:s3cr3t@localhost/run/s3cr3t",
            "a socket of this machine",
        ),
        ("socks5h://s3cr3t%00:p@proxy", "that is zero"),
        (
            &format!("socks4://{}:p@proxy", "s3cr3t".repeat(43)),
            "more than 255 bytes",
        ),
        ("http://u:s3cr3t@", "not of the form"),
        ("http://u:s3cr3t@proxy:0", "not of the form"),
        ("http://u:s3cr3t@pr oxy:1", "not of the form"),
        ("s3cr3t@@", "not of the form"),
        ("http://bob:4711/s3cr3t@proxy:1", "written as %2F"),
        ("s3cr3t:4711/x@proxy:1", "written as %2F"),
        ("http://s3cr3t:4711?x@proxy:1", "written as %2F"),
        ("https://s3cr3t:4711#x@proxy:1", "written as %2F"),
        ("socks5h://u:s3cr3t@x/y@proxy", "written as %2F"),
    ] {
        let environment = [("https_proxy", url)];
        let given = proxies(&environment);
        let proxy = given.of("vault", true).unwrap();
        let error = proxy.check().unwrap_err();
        let all = format!("{error} {} {error:?} {given:?} {}", error.hint(), proxy.told());
        assert!(all.contains(words) && all.contains("https_proxy"), "{all}");
        assert!(!all.contains("s3cr3t"), "{all}");
    }
    let good = proxies(&[("https_proxy", "http://u:s3cr3t@proxy:1")]);
    assert!(!format!("{good:?}").contains("s3cr3t"));
}

/// What a proxy reads and answers.
struct Answering(Vec<u8>, Cursor<Vec<u8>>);

impl Read for Answering {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let most = room.len().min(7);
        self.1.read(&mut room[..most])
    }
}

impl Write for Answering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a proxy of this URL is asked to lead to a host, or why it does not; an error of the
/// connection as its kind.
fn led(url: &str, host: &str, answer: &[u8]) -> Result<Vec<u8>, String> {
    let proxy = Proxy::new("https_proxy", url);
    let mut connection = Answering(Vec::new(), Cursor::new(answer.to_vec()));
    match proxy.lead_on(&mut connection, (host, 8200), &Names::default()) {
        Ok(()) => Ok(connection.0),
        Err(error) => Err(
            match error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<ProxyRefusal>())
            {
                Some(refusal) => format!("{refusal:?}"),
                None => error.kind().to_string(),
            },
        ),
    }
}

fn tunnel(answer: &[u8]) -> Result<String, String> {
    let asked = led("http://x:y@proxy:1", "vault", answer)?;
    Ok(String::from_utf8(asked).unwrap())
}

#[test]
fn a_tunnel_is_asked_for_and_begins_after_the_answers_head() {
    let asked = "CONNECT vault:8200 HTTP/1.1\r\nHost: vault:8200\r\nUser-Agent: keyroll\r\n\
                 Proxy-Authorization: Basic eDp5\r\n\r\n";
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n",
    ] {
        assert_eq!(tunnel(answer.as_bytes()).unwrap(), asked);
    }
    for status in [403, 407, 502] {
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 6\r\n\r\ns3cr3t");
        let refusal = format!("{:?}", ProxyRefusal::Status(status));
        assert_eq!(tunnel(answer.as_bytes()), Err(refusal));
    }
    let no_http = Err(format!("{:?}", ProxyRefusal::OtherProtocol("HTTP")));
    // It is not the proxy that speaks first then.
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\nx",
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 2x0\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "\u{15}\u{3}\u{1}",
    ] {
        assert_eq!(tunnel(answer.as_bytes()), no_http, "{answer:?}");
    }
    let flood = [b"HTTP/1.1 200 ".as_slice(), &vec![b'x'; 2 * MAX_HEAD]].concat();
    assert_eq!(tunnel(&flood), no_http);
    let cut = ErrorKind::UnexpectedEof.to_string();
    assert_eq!(tunnel(b"HTTP/1.1 200 OK\r\n"), Err(cut));
}

#[test]
fn a_host_is_named_to_the_proxy_or_looked_for_as_the_scheme_says() {
    let granted_5 = b"\x05\0\x05\0\0\x01\0\0\0\0\0\0";
    let granted_4 = b"\0\x5a\0\0\0\0\0\0";
    let nowhere = Err(format!(
        "{:?}",
        ProxyRefusal::CannotName("this machine knows no such host")
    ));
    assert_eq!(led("socks5://p", "vault.invalid", granted_5), nowhere);
    assert_eq!(led("socks4://p", "vault.invalid", granted_4), nowhere);
    let no_ipv4 = Err(format!("{:?}", socks::NO_IPV4));
    assert_eq!(led("socks4://p", "[::1]", granted_4), no_ipv4);
    for (url, host, granted, place) in [
        (
            "socks5h://p",
            "vault.invalid",
            &granted_5[..],
            b"\x03\x0dvault.invalid\x20\x08".as_slice(),
        ),
        (
            "socks5h://p",
            "192.0.2.7",
            granted_5,
            b"\x01\xc0\0\x02\x07\x20\x08",
        ),
        (
            "socks5://p",
            "192.0.2.7",
            granted_5,
            b"\x01\xc0\0\x02\x07\x20\x08",
        ),
        (
            "socks5h://p",
            "[::1]",
            granted_5,
            b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x08",
        ),
        (
            "socks4a://p",
            "vault.invalid",
            granted_4,
            b"\0\0\0\x01\0vault.invalid\0",
        ),
        (
            "socks4://u:p@p",
            "192.0.2.7",
            granted_4,
            b"\x20\x08\xc0\0\x02\x07u\0",
        ),
    ] {
        let asked = led(url, host, granted).unwrap();
        assert!(asked.ends_with(place), "{url} {host}: {asked:?}");
    }
}
