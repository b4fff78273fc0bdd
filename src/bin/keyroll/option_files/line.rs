//! One line of an option file.

use keyroll::secret::SecretBytes;

/// What a longer line is cut into, in bytes: what the server's buffer holds.
const LONGEST_LINE: usize = 4094;

/// Lines with their ends, as the server's buffer gets them.
pub(super) struct Lines<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let room = &self.0[..self.0.len().min(LONGEST_LINE)];
        let end = room
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(room.len(), |at| at + 1);
        let (line, rest) = self.0.split_at(end);
        self.0 = rest;
        let end = line.iter().position(|&byte| byte == 0).unwrap_or(line.len());
        Some(&line[..end])
    }
}

/// What a line says.
#[derive(Debug)]
pub(super) enum Line<'a> {
    /// A comment, an empty line, a directive that there is not.
    Nothing,
    /// `[name]`
    Group(&'a [u8]),
    /// `!include path`
    Include(&'a [u8]),
    /// `!includedir path`
    IncludeDirectory(&'a [u8]),
    /// `name` or `name = value`
    Option(&'a [u8], Option<SecretBytes>),
}

/// Understands a line, its end included. The error is what is wrong with it.
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, &'static str> {
    let line = trim_start(line);
    match line.first() {
        None | Some(b'#' | b';') => Ok(Line::Nothing),
        Some(b'!') => {
            let directive = trim_start(&line[1..]);
            let argument = |word: &[u8]| {
                let rest = directive.strip_prefix(word)?;
                // The server takes the last byte for the line end, also where the file ends without one.
                let (_, argument) = rest.split_last()?;
                is_space(rest[0]).then(|| trim(argument))
            };
            match (argument(b"includedir"), argument(b"include")) {
                (Some(b""), _) => Err("!includedir without a directory"),
                (Some(directory), _) => Ok(Line::IncludeDirectory(directory)),
                (None, Some(b"")) => Err("!include without a file"),
                (None, Some(file)) => Ok(Line::Include(file)),
                // Whatever else begins so is passed over.
                (None, None) => Ok(Line::Nothing),
            }
        }
        Some(b'[') => {
            let end = line
                .iter()
                .position(|&byte| byte == b']')
                .ok_or("a [group] without its ]")?;
            Ok(Line::Group(trim_end(&line[1..end])))
        }
        Some(_) => {
            let line = without_comment(line);
            match line.iter().position(|&byte| byte == b'=') {
                None => Ok(Line::Option(trim_end(line), None)),
                Some(at) => {
                    let value = unquoted(trim(&line[at + 1..]));
                    Ok(Line::Option(trim_end(&line[..at]), Some(unescaped(value))))
                }
            }
        }
    }
}

/// The line up to a `#` that stands in no quotes.
fn without_comment(line: &[u8]) -> &[u8] {
    let (mut quote, mut escaped) = (None, false);
    for (at, &byte) in line.iter().enumerate() {
        if !escaped && (byte == b'"' || byte == b'\'') {
            match quote {
                None => quote = Some(byte),
                Some(open) if open == byte => quote = None,
                Some(_) => {}
            }
        }
        if quote.is_none() && byte == b'#' {
            return &line[..at];
        }
        escaped = quote.is_some() && byte == b'\\' && !escaped;
    }
    line
}

/// The value without a pair of quotes around it.
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => value,
    }
}

fn unescaped(value: &[u8]) -> SecretBytes {
    let mut result = SecretBytes::with_capacity(value.len());
    let text = result.expose_mut();
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let meant = match (byte, bytes.peek()) {
            (b'\\', Some(b'n')) => b'\n',
            (b'\\', Some(b't')) => b'\t',
            (b'\\', Some(b'r')) => b'\r',
            (b'\\', Some(b'b')) => 8,
            (b'\\', Some(b's')) => b' ',
            (b'\\', Some(&quoted @ (b'"' | b'\'' | b'\\'))) => quoted,
            _ => {
                text.push(byte);
                continue;
            }
        };
        text.push(meant);
        bytes.next();
    }
    result
}

/// A space in the server's eyes: those of ASCII and the no-break space of latin1.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xA0)
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_space(byte));
    &text[start.unwrap_or(text.len())..]
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| !is_space(byte));
    &text[..end.map_or(0, |last| last + 1)]
}

fn trim(text: &[u8]) -> &[u8] {
    trim_start(trim_end(text))
}
