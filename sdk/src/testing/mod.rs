//! For tests: services that are prepared once, and forked for each test.
//!
//! A [`Module`] is a service: what runs, and when it answers. A [`Service`] is one of it that runs, and a [`Template`]
//! prepares one and freezes it, so that every test gets a copy of its own in the time of a start.

use crate::container::Container;

mod from_test;
mod inputs;
#[cfg(feature = "tokio")]
mod runtime;
mod service;
mod template;

mod generic;
mod mariadb;
mod nginx;
mod package;
mod postgres;
mod rabbitmq;
mod redis;

#[doc(hidden)]
pub use from_test::parameter;
pub use from_test::{FromTest, Outcome, TempVolume, Test, run};
pub use generic::Generic;
pub use mariadb::MariaDb;
pub use nginx::Nginx;
pub use postgres::Postgres;
pub use rabbitmq::RabbitMq;
pub use redis::Redis;
#[cfg(feature = "tokio")]
#[doc(hidden)]
pub use runtime::{block_on, block_on_threads};
pub use service::{Module, Service};
pub use template::Template;

/// How many of its last lines are told of a container.
const LAST_LINES: usize = 20;

/// The last lines of a container's log, each indented, after a heading; `None` if there are none.
fn last_lines(container: &Container) -> Option<String> {
    let lines = container.logs().tail(LAST_LINES).read().into_iter().flatten();
    let lines: Vec<_> = lines.map(|line| format!("\n    {}", line.text.trim_end())).collect();
    (!lines.is_empty()).then(|| format!("the last lines of its log:{}", lines.concat()))
}
