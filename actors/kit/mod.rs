//! What actix lacks, generic: watched children, exit notices, restart policy, lanes and the bounded writer.
//!
//! This folder refuses to know what a call is. The measured behaviour of actix it answers to is told where it bites.

pub mod alarm;
pub mod child;
pub mod exit;
pub mod lane;
pub mod policy;
pub mod writer;
