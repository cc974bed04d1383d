//! The stages of an instruction, for `cargo xtask bench` to tell what each costs.
//!
//! It builds a copy of the program with the feature `stages`, in which the end of
//! every stage logs its name and the compute units left. Nothing of it is in any
//! other build.

/// Marks the end of a stage.
#[inline(always)]
pub fn end_of(stage: &str) {
    #[cfg(feature = "stages")]
    {
        solana_program::log::sol_log(stage);
        solana_program::log::sol_log_compute_units();
    }
    #[cfg(not(feature = "stages"))]
    let _ = stage;
}
