//! `attache exec`: a command whose environment comes from keys.
