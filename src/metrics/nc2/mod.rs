//! NC2: do class means, and classifier rows, form a simplex equiangular tight frame?
//!
//! Papyan et al. (2020), Zhu et al. (2021), Wu & Papyan (2024).

mod structure;

pub(super) use structure::*;
