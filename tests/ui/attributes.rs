//! Tests and templates that are none.

#[plywood::test]
fn is_generic<T: Default>(_engine: Engine) {}

#[plywood::test(port = 5432)]
fn takes_arguments() {}

#[plywood::test(flavor = "multi_thread")]
fn has_a_runtime_and_does_not_wait() {}

#[plywood::test(flavor = "many_threads")]
async fn has_a_runtime_of_no_kind() {}

#[plywood::test(worker_threads = 2)]
async fn has_threads_on_one_thread() {}

#[plywood::test(flavor = "multi_thread", worker_threads = 0)]
async fn has_no_threads() {}

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
