//! What the integration tests share: a stage to act on, plans to bend, and the
//! invariants that hold after every transaction that succeeds.

#![forbid(unsafe_code)]

pub mod bank;
pub mod bracket;
pub mod epilogue;
pub mod invariants;
pub mod plan;
pub mod property;
pub mod router;
pub mod scene;
pub mod stage;

pub use invariants::Invariants;
pub use plan::Plan;
pub use scene::Scene;
pub use stage::Stage;
