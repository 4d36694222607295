//! A client of AMQP 0-9-1, as small as a test takes: one channel, and one queue at a time.

use std::io::{self, Read, Write};

/// A connection whose channel 1 is open.
#[derive(Debug)]
pub struct Amqp<S>(S);

/// Of a short string.
fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

/// Of a long string.
fn long(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text].concat()
}

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xce;

impl<S: Read + Write> Amqp<S> {
    /// Introduces the user `guest`.
    ///
    /// # Errors
    /// Those of the connection, and what the server answers otherwise than expected.
    pub fn open(stream: S) -> io::Result<Self> {
        let mut amqp = Self(stream);
        amqp.0.write_all(b"AMQP\0\0\x09\x01")?;
        amqp.expect(10, 10)?;
        let start_ok = [&[0; 4][..], &short("PLAIN"), &long(b"\0guest\0guest"), &short("en_US")].concat();
        amqp.method(0, 10, 11, &start_ok)?;
        let tune = amqp.expect(10, 30)?;
        amqp.method(0, 10, 31, &[&tune[..6], &[0, 0]].concat())?;
        amqp.method(0, 10, 40, &[short("/"), short(""), vec![0]].concat())?;
        amqp.expect(10, 41)?;
        amqp.method(1, 20, 10, &short(""))?;
        amqp.expect(20, 11)?;
        Ok(amqp)
    }

    /// Makes a queue that outlives the server, unless there is one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn declare(&mut self, queue: &str) -> io::Result<()> {
        // Durable; no arguments.
        self.method(1, 50, 10, &[&[0, 0][..], &short(queue), &[0b10], &[0; 4]].concat())?;
        self.expect(50, 11).map(drop)
    }

    /// Sends a message that outlives the server, and waits until the server has it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn publish(&mut self, queue: &str, body: &[u8]) -> io::Result<()> {
        self.method(1, 85, 10, &[0])?;
        self.expect(85, 11)?;
        self.method(1, 60, 40, &[&[0, 0][..], &short(""), &short(queue), &[0]].concat())?;
        // Class, weight, size, which properties there are, and the one: persistent.
        let size = (body.len() as u64).to_be_bytes();
        self.send(1, HEADER, &[&[0, 60, 0, 0][..], &size, &[0x10, 0, 2]].concat())?;
        self.send(1, BODY, body)?;
        self.expect(60, 80).map(drop)
    }

    /// Takes a message out of a queue, if there is one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn take(&mut self, queue: &str) -> io::Result<Option<Vec<u8>>> {
        // Without acknowledgement.
        self.method(1, 60, 70, &[&[0, 0][..], &short(queue), &[1]].concat())?;
        let (_, answer) = self.receive()?;
        if answer.starts_with(&[0, 60, 0, 72]) {
            return Ok(None);
        }
        self.receive()?;
        self.receive().map(|(_, body)| Some(body))
    }

    fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) -> io::Result<()> {
        self.send(channel, METHOD, &[&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat())
    }

    fn send(&mut self, channel: u16, kind: u8, payload: &[u8]) -> io::Result<()> {
        let size = (payload.len() as u32).to_be_bytes();
        self.0.write_all(&[&[kind][..], &channel.to_be_bytes(), &size, payload, &[END]].concat())
    }

    /// The arguments of a method that must come next.
    fn expect(&mut self, class: u16, method: u16) -> io::Result<Vec<u8>> {
        let (kind, payload) = self.receive()?;
        let wanted = [class.to_be_bytes(), method.to_be_bytes()].concat();
        match payload.strip_prefix(wanted.as_slice()) {
            Some(arguments) if kind == METHOD => Ok(arguments.to_vec()),
            _ => Err(io::Error::other(format!("no {class}.{method}, but {}", String::from_utf8_lossy(&payload)))),
        }
    }

    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 7];
        self.0.read_exact(&mut head)?;
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; size as usize + 1];
        self.0.read_exact(&mut payload)?;
        match payload.pop() {
            Some(END) => Ok((head[0], payload)),
            _ => Err(io::Error::other("a frame without an end")),
        }
    }
}
