//! Printing: tables for people, JSON for programs. A reader that goes away is no failure.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::args::Format;
use crate::failure::{Outcome, each};

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

impl Output {
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// One JSON document.
    pub fn json(self, value: &impl Serialize) -> Outcome<()> {
        let mut text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        text.push('\n');
        write(&text)
    }

    /// One line.
    pub fn line(self, text: impl std::fmt::Display) -> Outcome<()> {
        write(&format!("{text}\n"))
    }

    /// The same, or as JSON.
    pub fn line_or(self, text: impl std::fmt::Display, value: &impl Serialize) -> Outcome<()> {
        if self.is_json() { self.json(value) } else { self.line(text) }
    }

    /// Several lines.
    pub fn lines(self, lines: impl IntoIterator<Item = impl std::fmt::Display>) -> Outcome<()> {
        write(&lines.into_iter().map(|line| format!("{line}\n")).collect::<String>())
    }

    /// Does something to each of several objects, and prints a line for each that it was done to, or all as one document.
    /// Those that fail do not keep the others from it.
    pub fn each(self, names: &[String], mut act: impl FnMut(&str) -> Outcome<Option<(String, Value)>>) -> Outcome<()> {
        let mut documents = Vec::new();
        let outcome = each(names, |name| {
            let Some((line, document)) = act(name)? else { return Ok(()) };
            if self.is_json() {
                documents.push(document);
                return Ok(());
            }
            self.line(line)
        });
        if self.is_json() {
            self.json(&documents)?;
        }
        outcome
    }

    /// A table with Docker's columns: as wide as their widest cell and three spaces.
    pub fn table<const N: usize>(self, titles: [&str; N], rows: &[[String; N]]) -> Outcome<()> {
        let mut text = String::new();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([titles[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let titles = titles.map(str::to_owned);
        for row in std::iter::once(&titles).chain(rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(cell);
                let padding = width + 3 - cell.chars().count();
                line.extend(std::iter::repeat_n(' ', padding));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        write(&text)
    }
}

fn write(text: &str) -> Outcome<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A text from a store or an archive, as a cell of a table: nothing in it moves the cursor.
pub fn cell(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// At most so many characters, the last of which says that there were more.
pub fn shortened(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}
