//! What is measured, and how far ahead of OpenSSL each has to be.

use keyroll::crypto::Level;

/// A mode of the server's ciphers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// aes_cbc without padding.
    Cbc,
    /// aes_ctr without padding.
    Ctr,
    /// aes_ctr with padding.
    Gcm,
    /// aes_256_xts without padding, beside OpenSSL's CTR: the server has nothing like it.
    Xts,
    /// aes_256_hctr2 without padding, likewise.
    Hctr2,
}

impl Mode {
    pub(crate) const ALL: [Mode; 5] = [Mode::Cbc, Mode::Ctr, Mode::Gcm, Mode::Xts, Mode::Hctr2];

    /// Whether the server has it, too, and makes the same bytes.
    pub(crate) fn is_openssls(self) -> bool {
        !matches!(self, Mode::Xts | Mode::Hctr2)
    }
}

/// One kind of message.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) mode: Mode,
    pub(crate) encrypt: bool,
    /// Bytes of plaintext.
    pub(crate) length: usize,
    /// Bytes in each update.
    pub(crate) step: usize,
    /// Where the text begins after a multiple of 4096, in source and destination.
    pub(crate) offset: usize,
    /// How many times as fast as OpenSSL it has to be, on a processor with all instructions.
    pub(crate) target: f64,
}

/// What InnoDB encrypts of a page of 16 KiB.
pub(crate) const PAGE: usize = 16_354;

impl Case {
    pub(crate) fn name(&self) -> String {
        let mode = match self.mode {
            Mode::Cbc => "cbc",
            Mode::Ctr => "ctr",
            Mode::Gcm => "gcm",
            Mode::Xts => "xts to ctr",
            Mode::Hctr2 => "hctr2 to ctr",
        };
        let direction = if self.encrypt { "encrypt" } else { "decrypt" };
        let step = if self.step < self.length {
            format!(" by {}", self.step)
        } else {
            String::new()
        };
        format!("{mode} {direction} {}{step}", self.length)
    }

    pub(crate) fn is_page(&self) -> bool {
        self.length == PAGE
    }

    /// What is asked for at a level: below the highest, pages must not be slower.
    pub(crate) fn target_at(&self, level: Level) -> Option<f64> {
        match level {
            Level::Vaes => Some(self.target),
            // More rounds for longer keys, on both sides of which only one has them.
            _ if !self.mode.is_openssls() => None,
            _ => self.is_page().then_some(1.0),
        }
    }
}

/// Every case, grouped by mode.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in Mode::ALL {
        for encrypt in [true, false] {
            let mut add = |length, step, offset, target| {
                cases.push(Case {
                    mode,
                    encrypt,
                    length,
                    step,
                    offset,
                    target,
                });
            };
            if mode == Mode::Gcm {
                add(64, 64, 0, 4.0);
                add(16_384, 16_384, 0, 1.2);
                continue;
            }
            if mode == Mode::Hctr2 {
                // Streamed, as of the redo log; then whole messages.
                add(64, 64, 0, 2.5);
                add(500, 500, 0, 0.8);
                add(PAGE, PAGE, 26, 0.5);
                continue;
            }
            if mode == Mode::Xts {
                add(24, 24, 0, 1.3);
                add(45, 9, 0, 1.3);
                add(64, 64, 0, 6.0);
                add(PAGE, PAGE, 26, 2.0);
                continue;
            }
            let with_tail = if mode == Mode::Cbc { 10.0 } else { 8.0 };
            add(16, 16, 0, 8.0);
            add(24, 24, 0, with_tail);
            add(45, 9, 0, with_tail);
            add(64, 64, 0, 8.0);
            let serial = mode == Mode::Cbc && encrypt;
            let (some, page) = match (mode, serial) {
                (_, true) => (2.5, 1.0),
                (Mode::Cbc, _) => (6.0, 3.0),
                _ => (6.0, 2.7),
            };
            add(512, 512, 0, some);
            add(512, 256, 0, some);
            add(PAGE, PAGE, 26, page);
        }
    }
    cases
}
