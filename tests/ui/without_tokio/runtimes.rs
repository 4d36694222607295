//! A test that is `async`, without the feature that it takes.

#[plywood::test]
async fn waits(_engine: plywood::Engine) {}

fn main() {}
