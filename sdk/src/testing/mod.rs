//! For tests: services that are prepared once, and forked for each test.
//!
//! A [`Module`] is a service: what runs, and when it answers. A [`Service`] is one of it that runs, and a [`Template`]
//! prepares one and freezes it, so that every test gets a copy of its own in the time of a start.
//!
//! [`Generic`] is the module of any container. Those of known servers are features: `postgres`, `mariadb`, `redis`,
//! `rabbitmq` and `nginx`.

use crate::container::Container;

mod from_test;
mod inputs;
#[cfg(feature = "tokio")]
mod runtime;
mod service;
mod template;

mod generic;
#[cfg(feature = "mariadb")]
mod mariadb;
#[cfg(feature = "nginx")]
mod nginx;
// No module takes all of it.
#[cfg(any(feature = "mariadb", feature = "nginx", feature = "postgres", feature = "rabbitmq", feature = "redis"))]
#[allow(dead_code)]
mod package;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;

pub use crate::engine::TempVolume;
#[doc(hidden)]
pub use from_test::parameter;
pub use from_test::{FromTest, Outcome, Test, run};
pub use generic::Generic;
#[cfg(feature = "mariadb")]
pub use mariadb::MariaDb;
#[cfg(feature = "nginx")]
pub use nginx::Nginx;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "rabbitmq")]
pub use rabbitmq::RabbitMq;
#[cfg(feature = "redis")]
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
