//! The program from outside: the binary as users run it, and what they read about it. One crate, so that it is linked once.
//!
//! A module each for what is looked at; [`common`] starts servers and talks to them.
#![allow(clippy::unwrap_used)] // a test: what is not there is its failure
#![allow(clippy::disallowed_methods)] // tests read real files, and measure real time

mod common;
mod crashtest;
mod dashboards;
mod demo;
mod durability;
mod http;
mod http_lists;
mod http_query;
mod openapi;
mod query_limits;
mod readme;
mod restart;
