//! The examples live beside this file, one per idea.
