//! The targets `nats`, `rabbitmq` and `kafka` against real brokers, which `cargo xtask brokers`
//! fetches; `TIMEBALL_BROKERS` says where they are. Without them the tests say that they skip.
#![allow(clippy::unwrap_used)]

mod airflow;
mod house;
mod jetstream;
mod kafka;
mod nats;
mod rabbitmq;
mod servers;
