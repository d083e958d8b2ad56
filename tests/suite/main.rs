//! Everything that is tested from outside: one binary, one module per concern.

mod damage;
mod definition;
mod exact;
mod laws;
mod oracle;
mod rows;
mod stress;
