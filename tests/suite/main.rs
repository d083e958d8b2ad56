//! Everything that is tested from outside: one binary, one module per concern.

mod accuracy;
mod archives;
mod cli;
mod damage;
mod definition;
mod directions;
mod docs;
mod exact;
mod faults;
mod goldens;
mod heads;
mod inputs;
mod laws;
mod layering;
mod means;
mod oracle;
#[cfg(feature = "sql")]
mod queries;
mod reading;
mod rows;
mod second_read;
mod sessions;
#[cfg(feature = "sql")]
mod sql;
#[cfg(feature = "sql")]
mod sql_cli;
#[cfg(feature = "sql")]
mod sql_limits;
mod stress;
