//! Points in time as text, in UTC. Nothing here or above relies on the system's clock going forward.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time as SQL writes it: `2026-01-31 23:59:59`, in UTC.
pub fn sql(time: SystemTime) -> String {
    let (date, time_of_day) = date_and_time(time);
    format!("{date} {time_of_day}")
}

/// A time as RFC 3339 writes it: `2026-01-31T23:59:59Z`, in UTC, whole seconds.
pub fn rfc3339(time: SystemTime) -> String {
    let (date, time_of_day) = date_and_time(time);
    format!("{date}T{time_of_day}Z")
}

/// A span of time in seconds, rounded up to a tenth: `2` or `0.4`.
pub fn seconds(time: Duration) -> f64 {
    time.as_millis().div_ceil(100) as f64 / 10.0
}

/// Whether the text is a time as [`rfc3339`] writes it.
pub fn is_rfc3339(text: &str) -> bool {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:ddZ";
    let shaped = text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE).all(|(byte, &wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            _ => byte == wanted,
        });
    let number =
        |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<u32>().ok());
    let within = |range, least, most| number(range).is_some_and(|n| (least..=most).contains(&n));
    // A second of 60 is a leap second.
    shaped
        && within(5..7, 1, 12)
        && within(8..10, 1, 31)
        && within(11..13, 0, 23)
        && within(14..16, 0, 59)
        && within(17..19, 0, 60)
}

/// The last second that has a year of four digits.
const LAST_SECOND: u64 = 253_402_300_799;

/// What lies before 1970 or after 9999, by a clock that is wrong, is told as the first or the last second.
fn date_and_time(time: SystemTime) -> (String, String) {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map(|d| d.as_secs())
        .unwrap_or_default()
        .min(LAST_SECOND);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60),
    )
}

/// Year, month and day of the proleptic Gregorian calendar, counted from 1970-01-01. Years begin in March
/// here, so that the leap day is the last of its year and month lengths follow (153 m + 2) / 5.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let since_march_of_year_0 = days + 719_468;
    let era = since_march_of_year_0 / DAYS_IN_400_YEARS;
    let day_of_era = since_march_of_year_0 % DAYS_IN_400_YEARS;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (1_735_689_599, "2024-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(sql(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
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
    fn a_time_is_recognised_as_it_is_written() {
        let now = rfc3339(UNIX_EPOCH + Duration::from_secs(1_709_251_199));
        assert_eq!(now, "2024-02-29T23:59:59Z");
        assert!(is_rfc3339(&now) && is_rfc3339("9999-12-31T23:59:60Z"));
        for (wrong, wanted) in [
            (UNIX_EPOCH - Duration::from_secs(1), "1970-01-01T00:00:00Z"),
            (
                UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 1),
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
            "2024-13-29T23:59:59Z",
            "2024-00-29T23:59:59Z",
            "2024-02-32T23:59:59Z",
            "2024-02-29T24:59:59Z",
            "2024-02-29T23:60:59Z",
            "2024-02-29T23:59:61Z",
            "2024-02-29T23:59:5éZ",
            "+024-02-29T23:59:59Z",
        ] {
            assert!(!is_rfc3339(wrong), "{wrong}");
        }
    }
}
