//! Everything that is tested from outside: one binary, one module per concern.

mod accumulator;
mod accuracy;
mod archives;
mod arrays;
#[cfg(feature = "cli")]
mod captures;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "cli")]
mod compare;
#[cfg(feature = "cuda")]
mod cuda;
mod damage;
mod definition;
mod device_sums;
mod directions;
mod docs;
#[cfg(feature = "cli")]
mod error_bars;
mod exact;
#[cfg(feature = "cli")]
mod example;
#[cfg(feature = "cli")]
mod faults;
#[cfg(feature = "cli")]
mod further;
mod goldens;
#[cfg(feature = "cli")]
mod heads;
#[cfg(feature = "cli")]
mod inputs;
mod laws;
mod layering;
mod many;
mod means;
#[cfg(all(feature = "cli", feature = "sql"))]
mod normalize;
#[cfg(all(feature = "cli", feature = "cloud"))]
mod objects;
mod oracle;
mod page;
mod picture;
mod plain_kernels;
#[cfg(all(feature = "cli", feature = "sql"))]
mod queries;
mod reading;
mod rows;
mod second_read;
#[cfg(feature = "cli")]
mod sessions;
#[cfg(feature = "sql")]
mod sql;
#[cfg(all(feature = "cli", feature = "sql"))]
mod sql_cli;
#[cfg(all(feature = "cli", feature = "sql"))]
mod sql_limits;
mod stress;
