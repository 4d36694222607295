//! Writes the log of a kept container, byte for byte as `sdk/src/logs/json_file.rs` does it in a program.
//!
//! What a disk that is full does not take is lost, and the container goes on.

use crate::kernel;
use crate::numbers::*;
use crate::piece::{PIECE, whole_characters};

/// Lines that are written by one call, in bytes: one that is longer gets memory of its own for that time.
const LINES: usize = 8 * 1024;

/// The mode of a log.
const MODE: u64 = 0o640;

/// The longest name of a file here, with its number and the zero byte.
const NAME: usize = 128;

/// What the log needs while it is written. All zeros is a new one.
pub struct Buffers {
    pending: [Pending; 2],
    lines: [u8; LINES],
}

/// Output that no line feed has ended yet.
struct Pending {
    bytes: [u8; PIECE],
    length: usize,
}

pub struct Log<'a> {
    pub file: i32,
    pub directory: i32,
    /// Without the zero byte.
    pub name: &'a [u8],
    /// Rotates before the file grows beyond this; 0 for never.
    pub max_size: u64,
    pub max_file: u64,
    size: u64,
    buffers: &'a mut Buffers,
    /// How much of the lines is in use.
    length: usize,
    /// Whether a full disk has left half a line at the end of the file.
    is_torn: bool,
}

impl<'a> Log<'a> {
    pub fn new(file: i32, directory: i32, name: &'a [u8], [max_size, max_file]: [u64; 2]) -> Option<Self> {
        let memory = kernel::map_private(size_of::<Buffers>())?.cast::<Buffers>();
        // SAFETY: the mapping is new, aligned to a page and large enough, and zeros are numbers.
        let buffers = unsafe { &mut *memory };
        let size = kernel::size_of_file(file).unwrap_or(0) as u64;
        Some(Self { file, directory, name, max_size, max_file, size, buffers, length: 0, is_torn: false })
    }

    /// Takes output as it was read.
    pub fn write(&mut self, stream: usize, mut bytes: &[u8]) {
        let time = Time::now();
        while !bytes.is_empty() {
            let length = self.pending(stream).length;
            let room = PIECE.wrapping_sub(length);
            let line = bytes.iter().take(room).position(|byte| *byte == b'\n').map(|at| at.wrapping_add(1));
            let cut = line.unwrap_or(room.min(bytes.len()));
            let piece = bytes.get(..cut).unwrap_or_default();
            bytes = bytes.get(cut..).unwrap_or_default();
            if length == 0 && line.is_some() {
                self.push(stream, piece, &time);
                continue;
            }
            self.pending(stream).add(piece);
            if line.is_some() {
                self.push_pending(stream, usize::MAX, &time);
            } else if length.wrapping_add(cut) == PIECE {
                // A character that is not complete yet begins the next piece.
                let cut = whole_characters(&self.pending(stream).bytes);
                self.push_pending(stream, cut, &time);
            }
        }
        self.flush();
    }

    /// Writes what no line feed has ended, at the end of the stream.
    pub fn end(&mut self, stream: usize) {
        if self.pending(stream).length > 0 {
            self.push_pending(stream, usize::MAX, &Time::now());
        }
        self.flush();
    }

    fn pending(&mut self, stream: usize) -> &mut Pending {
        let [stdout, stderr] = &mut self.buffers.pending;
        if stream == 0 { stdout } else { stderr }
    }

    /// Writes the beginning of what is pending; the rest moves up.
    fn push_pending(&mut self, stream: usize, cut: usize, time: &Time) {
        let pending: *mut Pending = self.pending(stream);
        // SAFETY: the buffers stay where they are, and `push` does not look at what is pending.
        let pending = unsafe { &mut *pending };
        let cut = cut.min(pending.length);
        self.push(stream, pending.bytes.get(..cut).unwrap_or_default(), time);
        if cut < pending.length {
            pending.bytes.copy_within(cut..pending.length, 0);
        }
        pending.length = pending.length.wrapping_sub(cut);
    }

    fn push(&mut self, stream: usize, text: &[u8], time: &Time) {
        let mut length = 0_usize;
        render(stream, text, time, &mut |bytes| length = length.wrapping_add(bytes.len()));
        let after = self.size.wrapping_add(self.length as u64).wrapping_add(length as u64);
        if self.max_size > 0 && after > self.max_size {
            self.flush();
            if self.size > 0 {
                self.rotate();
            }
        }
        if length > LINES.wrapping_sub(self.length) {
            self.flush();
        }
        if length <= LINES {
            let (lines, at) = (&mut self.buffers.lines, &mut self.length);
            render(stream, text, time, &mut |bytes| put(lines, at, bytes));
            return;
        }
        let Some(memory) = kernel::map_private(length) else { return };
        // SAFETY: the mapping is new and has this size.
        let line = unsafe { core::slice::from_raw_parts_mut(memory, length) };
        let mut at = 0;
        render(stream, text, time, &mut |bytes| put(line, &mut at, bytes));
        self.is_torn = append(self.file, self.is_torn, line);
        self.size = self.size.wrapping_add(length as u64);
        // SAFETY: nothing refers to it any more.
        unsafe { kernel::unmap(memory, length) };
    }

    fn flush(&mut self) {
        if self.length > 0 {
            let lines = self.buffers.lines.get(..self.length).unwrap_or_default();
            self.is_torn = append(self.file, self.is_torn, lines);
        }
        self.size = self.size.wrapping_add(self.length as u64);
        self.length = 0;
    }

    /// Moves each file one number up, drops the last, begins a new one.
    fn rotate(&mut self) {
        let mut number = self.max_file.max(1).wrapping_sub(1);
        if number == 0 {
            kernel::truncate(self.file);
        }
        let ends = number > 0;
        while number > 0 {
            let (from, to) = (self.numbered(number.wrapping_sub(1)), self.numbered(number));
            let _ = kernel::rename(self.directory, kernel::address(&from), self.directory, kernel::address(&to));
            number = number.wrapping_sub(1);
        }
        let name = self.numbered(0);
        if ends && let Ok(file) = kernel::create(self.directory, kernel::address(&name), O_APPEND, MODE) {
            kernel::close(self.file);
            self.file = file;
        }
        (self.size, self.is_torn) = (0, false);
    }

    /// The name of the file that was rotated away `number` times.
    fn numbered(&self, number: u64) -> [u8; NAME] {
        let (mut name, mut at) = ([0; NAME], 0);
        put(&mut name, &mut at, self.name);
        if number > 0 {
            put(&mut name, &mut at, b".");
            decimal(number, 1, &mut |digits| put(&mut name, &mut at, digits));
        }
        name
    }
}

impl Pending {
    fn add(&mut self, piece: &[u8]) {
        put(&mut self.bytes, &mut self.length, piece);
    }
}

/// Puts bytes into a buffer that has room for them.
pub fn put(buffer: &mut [u8], at: &mut usize, bytes: &[u8]) {
    let end = at.wrapping_add(bytes.len());
    if let Some(room) = buffer.get_mut(*at..end) {
        room.copy_from_slice(bytes);
        *at = end;
    }
}

/// Appends lines to a file; whether half a line is at its end now. The next line must not be glued to one.
fn append(file: i32, is_torn: bool, lines: &[u8]) -> bool {
    if is_torn && !kernel::write_all(file, b"\n").is_empty() {
        return true;
    }
    let left = kernel::write_all(file, lines).len();
    let taken = lines.get(..lines.len().wrapping_sub(left)).unwrap_or_default();
    taken.last().is_some_and(|last| *last != b'\n')
}

/// One line of the file.
fn render(stream: usize, text: &[u8], time: &Time, out: &mut dyn FnMut(&[u8])) {
    out(b"{\"log\":\"");
    quoted(text, out);
    out(if stream == 0 { b"\",\"stream\":\"stdout\",\"time\":\"" } else { b"\",\"stream\":\"stderr\",\"time\":\"" });
    time.print(out);
    out(b"\"}\n");
}

/// Text as it stands in a JSON string, with U+FFFD for what is none.
pub fn quoted(text: &[u8], out: &mut dyn FnMut(&[u8])) {
    for chunk in text.utf8_chunks() {
        escape(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out("\u{fffd}".as_bytes());
        }
    }
}

/// Text as serde_json writes it.
fn escape(text: &[u8], out: &mut dyn FnMut(&[u8])) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut begin = 0;
    for (at, byte) in text.iter().enumerate() {
        let mut unicode = *b"\\u0000";
        let escaped: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            8 => b"\\b",
            9 => b"\\t",
            10 => b"\\n",
            12 => b"\\f",
            13 => b"\\r",
            0..=0x1f => {
                let [.., high, low] = &mut unicode;
                *high = b'0'.wrapping_add(byte >> 4);
                *low = DIGITS.get(usize::from(byte & 15)).copied().unwrap_or(b'0');
                &unicode
            }
            _ => continue,
        };
        out(text.get(begin..at).unwrap_or_default());
        out(escaped);
        begin = at.wrapping_add(1);
    }
    out(text.get(begin..).unwrap_or_default());
}

/// A point in time, as seconds since the start of 1970 and nanoseconds.
#[derive(Clone, Copy)]
pub struct Time([i64; 2]);

impl Time {
    pub fn now() -> Self {
        Self(kernel::now())
    }

    /// RFC 3339 in UTC; zeros at the end of the nanoseconds are left out.
    pub fn print(&self, out: &mut dyn FnMut(&[u8])) {
        let Self([seconds, nanoseconds]) = *self;
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let [year, month, day] = date(days);
        decimal(year, 4, out);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        for (mark, number) in [
            (b"-", month),
            (b"-", day),
            (b"T", hour as u64),
            (b":", minute as u64),
            (b":", second as u64),
        ] {
            out(mark);
            decimal(number, 2, out);
        }
        let (mut rest, mut width) = (nanoseconds as u64, 9);
        if rest > 0 {
            while rest % 10 == 0 {
                (rest, width) = (rest / 10, width - 1);
            }
            out(b".");
            decimal(rest, width, out);
        }
        out(b"Z");
    }
}

/// Year, month and day of a day since the start of 1970, after Howard Hinnant's `civil_from_days`: years begin in March,
/// so that the day that comes every four years is their last.
fn date(days: i64) -> [u64; 3] {
    let days = days.wrapping_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    [year as u64, month as u64, day as u64]
}

/// A number with at least so many digits.
pub fn decimal(mut number: u64, width: usize, out: &mut dyn FnMut(&[u8])) {
    let mut digits = [b'0'; 20];
    let mut used = 0_usize;
    for digit in digits.iter_mut().rev() {
        if number == 0 && used >= width {
            break;
        }
        *digit = b'0'.wrapping_add((number % 10) as u8);
        number /= 10;
        used = used.wrapping_add(1);
    }
    out(digits.get(20_usize.wrapping_sub(used)..).unwrap_or_default());
}
