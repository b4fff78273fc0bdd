//! Points in time as text, in UTC. Nothing here or above relies on the system's clock going
//! forward.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second that has a year of four digits.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// A time as SQL writes it: `2026-01-31 23:59:59`, in UTC.
pub fn sql(time: SystemTime) -> String {
    rfc3339(time).replace('T', " ").replace('Z', "")
}

/// A time as RFC 3339 writes it: `2026-01-31T23:59:59Z`, in UTC, whole seconds. What lies before
/// 1970 or after 9999, by a clock that is wrong, is told as the first or the last second.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since.min(LAST_SECOND)).to_string()
}

/// How many whole days have passed since then; 0 where that is a time to come.
pub fn days_since(time: SystemTime, now: SystemTime) -> u64 {
    now.duration_since(time).unwrap_or_default().as_secs() / (24 * 60 * 60)
}

/// Whether the text is a time as [`rfc3339`] writes it.
pub fn is_rfc3339(text: &str) -> bool {
    text.len() == "2026-01-31T23:59:59Z".len() && text.ends_with('Z') && of_rfc3339(text).is_some()
}

/// The time that RFC 3339 writes so in UTC, with a fraction of a second or without.
pub fn of_rfc3339(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

/// The time that HTTP writes so: `Sun, 22 Nov 2026 01:02:03 GMT` (RFC 9110, 5.6.7).
pub fn of_http_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// A span of time in seconds, rounded up to a tenth: `2` or `0.4`.
pub fn seconds(time: Duration) -> f64 {
    time.as_millis().div_ceil(100) as f64 / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar_and_are_read_as_they_are_written() {
        for (seconds, expected, http) in [
            (0, "1970-01-01 00:00:00", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (
                951_782_400,
                "2000-02-29 00:00:00",
                "Tue, 29 Feb 2000 00:00:00 GMT",
            ),
            (
                1_709_251_199,
                "2024-02-29 23:59:59",
                "Thu, 29 Feb 2024 23:59:59 GMT",
            ),
            (
                1_735_689_599,
                "2024-12-31 23:59:59",
                "Tue, 31 Dec 2024 23:59:59 GMT",
            ),
            (
                4_107_542_400,
                "2100-03-01 00:00:00",
                "Mon, 01 Mar 2100 00:00:00 GMT",
            ),
        ] {
            let point = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(sql(point), expected);
            let text = rfc3339(point);
            assert_eq!(of_rfc3339(&text), Some(point));
            assert_eq!(of_rfc3339(&text.replace('Z', "+00:00")), Some(point));
            let with_fraction = of_rfc3339(&text.replace('Z', ".123Z"));
            assert_eq!(with_fraction, Some(point + Duration::from_millis(123)));
            assert_eq!(of_http_date(http), Some(point));
        }
    }

    #[test]
    fn a_span_is_told_in_seconds_and_tenths() {
        for (millis, expected) in [
            (0, "0"),
            (1, "0.1"),
            (400, "0.4"),
            (1941, "2"),
            (2000, "2"),
            (86_400_001, "86400.1"),
        ] {
            assert_eq!(seconds(Duration::from_millis(millis)).to_string(), expected);
        }
    }

    #[test]
    fn days_are_whole_ones_that_have_passed() {
        let day = Duration::from_secs(24 * 60 * 60);
        let now = UNIX_EPOCH + day * 20_000;
        for (time, days) in [
            (now, 0),
            (now - day + Duration::from_secs(1), 0),
            (now - day, 1),
            (now - day * 400, 400),
            (now + day, 0),
        ] {
            assert_eq!(days_since(time, now), days);
        }
    }

    #[test]
    fn a_time_is_recognised_as_it_is_written() {
        let now = rfc3339(UNIX_EPOCH + Duration::from_secs(1_709_251_199));
        assert_eq!(now, "2024-02-29T23:59:59Z");
        assert!(is_rfc3339(&now) && is_rfc3339("9999-12-31T23:59:60Z"));
        for (wrong, wanted) in [
            (UNIX_EPOCH - Duration::from_secs(1), "1970-01-01T00:00:00Z"),
            (
                UNIX_EPOCH + LAST_SECOND + Duration::from_secs(1),
                "9999-12-31T23:59:59Z",
            ),
        ] {
            assert_eq!(rfc3339(wrong), wanted);
        }
        for wrong in [
            "",
            "2024-02-29 23:59:59",
            "2024-02-29T23:59:59",
            "2024-02-29T23:59:59z",
            "2024-02-29T23:59:59+00:00",
            "2024-02-29T23:59:59.5Z",
            "2024-13-29T23:59:59Z",
            "2024-00-29T23:59:59Z",
            "2024-02-32T23:59:59Z",
            "2023-02-29T23:59:59Z",
            "2024-02-29T24:59:59Z",
            "2024-02-29T23:60:59Z",
            "2024-02-29T23:59:61Z",
            "2024-02-29T23:59:5éZ",
            "+024-02-29T23:59:59Z",
        ] {
            assert!(!is_rfc3339(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "Z",
            "T",
            "2026-11-22",
            "2026-11-22T01:02Z",
            "1969-11-22T01:02:03Z",
            "99999999999999999999-11-22T01:02:03Z",
        ] {
            assert_eq!(of_rfc3339(text), None, "{text}");
        }
        for text in [
            "",
            "Sun, 22 Nov 2026 01:02:03 CET",
            "Sun, 22 Nop 2026 01:02:03 GMT",
            "22 Nov 2026 01:02:03 GMT",
        ] {
            assert_eq!(of_http_date(text), None, "{text}");
        }
    }
}
