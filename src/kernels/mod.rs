//! What hardware does.

mod projection;

pub use projection::Projection;
