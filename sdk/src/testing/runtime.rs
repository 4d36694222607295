//! What an `async` test runs on.

use std::future::Future;

use tokio::runtime::Builder;

/// Runs a future on a runtime of its own with this one thread.
///
/// # Panics
/// If the future does, or there can be no runtime.
pub fn block_on<O>(future: impl Future<Output = O>) -> O {
    on(Builder::new_current_thread(), future)
}

/// Runs a future on a runtime of its own with threads; one for each processor, if their number is not given.
///
/// # Panics
/// If the future does, or there can be no runtime.
pub fn block_on_threads<O>(number: Option<usize>, future: impl Future<Output = O>) -> O {
    let mut builder = Builder::new_multi_thread();
    if let Some(number) = number {
        builder.worker_threads(number);
    }
    on(builder, future)
}

fn on<O>(mut builder: Builder, future: impl Future<Output = O>) -> O {
    let runtime = builder.enable_all().build();
    runtime.unwrap_or_else(|error| panic!("start the runtime of an async test: {error}")).block_on(future)
}
