//! What every side of a comparison shares: the works, their SQL and tables, the client that does them, and the rounds.
//!
//! A side is a process of its own: it opens its connections, then does a round of one work each time it is asked to on standard
//! input, and tells on standard output what the round took. So the rounds of programs that cannot be linked together alternate, each
//! with a runtime of its own, and the time of a process' CPU is the time of one side.

mod child;
mod plan;
mod work;

pub use child::{Client, Round, serve};
pub use peak_alloc::PeakAlloc;
pub use plan::{Plan, Server, Style};
pub use work::{BATCH, COPIED, COPIED_ROW, INSERTED, ITEMS, REWRITTEN, Work, digits, item_name, unseen};

/// Any error; what fails ends the run.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// What can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A row of the table that is read, with owned values.
#[derive(Debug)]
pub struct Item {
    /// Its key.
    pub id: i64,
    /// Some text.
    pub name: String,
    /// A floating-point number.
    pub price: f64,
    /// A small integer.
    pub stock: i32,
    /// A boolean.
    pub active: bool,
}

impl Item {
    /// Something of every value, so that none is optimised away.
    pub fn weight(&self) -> usize {
        self.id as usize + self.name.len() + self.price as usize + self.stock as usize + usize::from(self.active)
    }
}
