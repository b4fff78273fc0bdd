//! The times that AWS writes, as points in time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The end of credentials, as RFC 3339 writes it in UTC: `2026-11-22T01:02:03Z`, also with a fraction, which is dropped.
pub(super) fn of_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, time) = text
        .strip_suffix('Z')
        .or_else(|| text.strip_suffix("+00:00"))?
        .split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    point(year, month, day, time)
}

/// The time of an answer, as HTTP writes it: `Sun, 22 Nov 2026 01:02:03 GMT` (RFC 9110, 5.6.7).
pub(super) fn of_http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = 1 + MONTHS.iter().position(|name| *name == month)? as u64;
    let year = words.next()?.parse().ok()?;
    let time = words.next()?;
    (words.next() == Some("GMT")).then(|| point(year, month, day, time))?
}

/// `n` whole numbers with a mark between them.
fn numbers<const N: usize>(text: &str, mark: char) -> Option<[u64; N]> {
    let numbers: Vec<u64> = text.split(mark).map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

fn point(year: u64, month: u64, day: u64, time: &str) -> Option<SystemTime> {
    let [hour, minute, second] = numbers(time, ':')?;
    let is_time = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let seconds = || days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    is_time.then(|| UNIX_EPOCH + Duration::from_secs(seconds()))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Years begin in March here, so that the leap day is the
/// last of its year and month lengths follow (153 m + 2) / 5.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (seconds, http) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            let point = UNIX_EPOCH + Duration::from_secs(seconds);
            let text = clock::rfc3339(point);
            assert_eq!(of_rfc3339(&text), Some(point));
            assert_eq!(of_rfc3339(&text.replace('Z', ".123Z")), Some(point));
            assert_eq!(of_rfc3339(&text.replace('Z', "+00:00")), Some(point));
            assert_eq!(of_http_date(http), Some(point));
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "Z",
            "T",
            "2026-11-22",
            "2026-11-22T01:02:03",
            "2026-13-22T01:02:03Z",
            "2026-11-22T24:02:03Z",
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
            "Sunday, 22-Nov-26 01:02:03 GMT",
        ] {
            assert_eq!(of_http_date(text), None, "{text}");
        }
    }
}
