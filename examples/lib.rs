//! Examples: one idea each, runnable as they stand (`cargo run --example quickstart`).
