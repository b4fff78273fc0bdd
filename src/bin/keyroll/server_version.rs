//! Which version the installed server has: it reads option groups with that version in their names.

use std::process::{Command, Stdio};

/// Where the server's program may be; the first that runs answers.
const PROGRAMS: [&str; 3] = ["mariadbd", "/usr/sbin/mariadbd", "mysqld"];

/// The installed server's version as `10.11`, or `None` if no server is installed.
pub(crate) fn installed() -> Option<String> {
    PROGRAMS.iter().find_map(|program| {
        let mut command = Command::new(program);
        command.args(["--no-defaults", "--version"]).stdin(Stdio::null());
        let output = command.stderr(Stdio::null()).output().ok()?;
        version_in(str::from_utf8(&output.stdout).ok()?)
    })
}

/// `10.11` out of `mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu …`.
fn version_in(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == "Ver")?;
    let mut numbers = words.next()?.split('.');
    let (major, minor) = (numbers.next()?, numbers.next()?);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor)).then(|| format!("{major}.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_is_the_first_two_numbers_behind_ver() {
        let line = "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)";
        assert_eq!(version_in(line).as_deref(), Some("10.11"));
        assert_eq!(version_in("mysqld  Ver 11.8.1-MariaDB").as_deref(), Some("11.8"));
        for other in ["", "Ver", "mariadbd Ver x.y.z", "Ver 10"] {
            assert_eq!(version_in(other), None, "{other}");
        }
    }
}
