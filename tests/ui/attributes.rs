//! Tests and templates that are none.

#[plywood::test]
async fn waits(_engine: Engine) {}

#[plywood::test]
fn is_generic<T: Default>(_engine: Engine) {}

#[plywood::test(port = 5432)]
fn takes_arguments() {}

#[plywood::test]
#[test]
fn is_one_twice() {}

#[plywood::test]
struct NoFunction;

#[plywood::template]
fn without_a_service() -> Result<(), String> {
    Ok(())
}

#[plywood::template]
fn of_no_service(_engine: &Engine) -> Result<(), String> {
    Ok(())
}

#[plywood::template]
fn cannot_fail(_db: &Service<Postgres>) {}

#[plywood::template(directory = "migrations")]
fn with_an_unknown_input(_db: &Service<Postgres>) -> Result<(), String> {
    Ok(())
}

fn main() {}
