//! DDSketch: quantiles with a relative error, in logarithmic bins.
//!
//! | file | concern |
//! |---|---|
//! | `builder.rs` | parameters, their limits and defaults |
//! | `sketch.rs` | the structure |
//! | `mapping.rs` | number to bin and back |
//! | `store.rs` | bounded row of bin counts |
//! | `codec.rs` | bytes |

mod builder;
mod codec;
mod mapping;
mod sketch;
mod store;

pub use builder::DdSketchBuilder;
pub use sketch::DdSketch;
