//! A small language of grid transforms: a program is a list of steps, run with a budget.
//!
//! ```text
//! program := step { ";" step }
//! step    := "flip" | "flop" | "turn" | "transpose" | "invert"
//!          | "recolor" COLOR COLOR | "shift" N N | "crop" | "double" | "gravity"
//!          | "repeat" N "{" program "}" | "until" condition "{" program "}"
//! condition := "stable" | "never" | "empty"
//! ```

use std::fmt;

/// Rows of colours, all of one length; at most [`CELLS_MAX`] cells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    pub(crate) rows: Vec<Vec<u8>>,
}

/// Cells of the largest grid that a program may make.
const CELLS_MAX: usize = 1 << 16;
/// Nested blocks; deeper ones would overflow the stack of the interpreter.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Flip,
    Flop,
    Turn,
    Transpose,
    Invert,
    Recolor(u8, u8),
    Shift(usize, usize),
    Crop,
    Double,
    Gravity,
    Repeat(usize, Vec<Step>),
    Until(Condition, Vec<Step>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Condition {
    /// The block did not change the grid.
    Stable,
    /// No cell has a colour.
    Empty,
    Never,
}

/// Why a program gives no grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunError {
    /// The budget of steps is used up.
    OutOfFuel,
    /// The grid would get too large.
    TooLarge { cells: usize },
    /// The machine told the program to stop.
    Stopped,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfFuel => write!(f, "out of fuel"),
            Self::TooLarge { cells } => {
                write!(f, "grid of {cells} cells, allowed are {CELLS_MAX}")
            }
            Self::Stopped => write!(f, "stopped"),
        }
    }
}

impl std::error::Error for RunError {}

/// Parses a program; says what is wrong and where.
pub(crate) fn parse(text: &str) -> Result<Vec<Step>, String> {
    let spaced = text
        .replace('{', " { ")
        .replace('}', " } ")
        .replace(';', " ; ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words, next: 0 };
    let steps = parser.block(0)?;
    match parser.take() {
        None => Ok(steps),
        Some(word) => Err(format!("word {}: unexpected `{word}`", parser.next)),
    }
}

struct Parser<'a> {
    words: Vec<&'a str>,
    next: usize,
}

impl<'a> Parser<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.next).copied();
        self.next += 1;
        word
    }

    fn block(&mut self, depth: usize) -> Result<Vec<Step>, String> {
        if depth > DEPTH_MAX {
            return Err(format!("blocks are nested over {DEPTH_MAX} deep"));
        }
        let mut steps = vec![self.step(depth)?];
        while self.words.get(self.next) == Some(&";") {
            self.next += 1;
            steps.push(self.step(depth)?);
        }
        Ok(steps)
    }

    fn step(&mut self, depth: usize) -> Result<Step, String> {
        let word = self.take().ok_or("a step is missing at the end")?;
        Ok(match word {
            "flip" => Step::Flip,
            "flop" => Step::Flop,
            "turn" => Step::Turn,
            "transpose" => Step::Transpose,
            "invert" => Step::Invert,
            "crop" => Step::Crop,
            "double" => Step::Double,
            "gravity" => Step::Gravity,
            "recolor" => Step::Recolor(self.color()?, self.color()?),
            "shift" => Step::Shift(self.number(999)?, self.number(999)?),
            "repeat" => Step::Repeat(self.number(1_000_000)?, self.braces(depth)?),
            "until" => {
                let condition = match self.take() {
                    Some("stable") => Condition::Stable,
                    Some("empty") => Condition::Empty,
                    Some("never") => Condition::Never,
                    other => return Err(format!("word {}: no condition: {other:?}", self.next)),
                };
                Step::Until(condition, self.braces(depth)?)
            }
            other => return Err(format!("word {}: no step: `{other}`", self.next)),
        })
    }

    fn braces(&mut self, depth: usize) -> Result<Vec<Step>, String> {
        let expect = |parser: &mut Self, wanted| match parser.take() {
            Some(word) if word == wanted => Ok(()),
            other => Err(format!(
                "word {}: `{wanted}` expected, not {other:?}",
                parser.next
            )),
        };
        expect(self, "{")?;
        let steps = self.block(depth + 1)?;
        expect(self, "}")?;
        Ok(steps)
    }

    fn color(&mut self) -> Result<u8, String> {
        u8::try_from(self.number(9)?).map_err(|error| error.to_string())
    }

    fn number(&mut self, most: usize) -> Result<usize, String> {
        let word = self.take().unwrap_or("nothing");
        match word.parse() {
            Ok(number) if number <= most => Ok(number),
            _ => Err(format!(
                "word {}: a number up to {most} expected, not `{word}`",
                self.next
            )),
        }
    }
}

/// What a program may use up, and who can stop it.
pub(crate) struct Machine<'a> {
    /// Steps left; `None` for no limit but the deadline.
    pub(crate) fuel: Option<u64>,
    /// Asked before each step.
    pub(crate) stopped: &'a dyn Fn() -> bool,
}

impl Machine<'_> {
    pub(crate) fn run(&mut self, steps: &[Step], mut grid: Grid) -> Result<Grid, RunError> {
        for step in steps {
            self.burn()?;
            grid = self.step(step, grid)?;
        }
        Ok(grid)
    }

    fn burn(&mut self) -> Result<(), RunError> {
        if (self.stopped)() {
            return Err(RunError::Stopped);
        }
        if let Some(fuel) = &mut self.fuel {
            *fuel = fuel.checked_sub(1).ok_or(RunError::OutOfFuel)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, mut grid: Grid) -> Result<Grid, RunError> {
        match step {
            Step::Flip => grid.rows.reverse(),
            Step::Flop => grid.rows.iter_mut().for_each(|row| row.reverse()),
            Step::Transpose => grid = grid.transposed(),
            Step::Turn => {
                grid = grid.transposed();
                grid.rows.iter_mut().for_each(|row| row.reverse());
            }
            Step::Invert => grid.each(|color| if color == 0 { 1 } else { 0 }),
            Step::Recolor(from, to) => grid.each(|color| if color == *from { *to } else { color }),
            Step::Shift(down, right) => grid.shift(*down, *right),
            // Crashes on a grid without any colour: a defect that candidates can run into.
            Step::Crop => grid = grid.cropped(),
            Step::Double => grid = grid.doubled()?,
            Step::Gravity => grid.fall(),
            Step::Repeat(times, block) => {
                for _ in 0..*times {
                    self.burn()?;
                    grid = self.run(block, grid)?;
                }
            }
            Step::Until(condition, block) => loop {
                self.burn()?;
                let after = self.run(block, grid.clone())?;
                let done = match condition {
                    Condition::Stable => after == grid,
                    Condition::Empty => after.rows.iter().flatten().all(|color| *color == 0),
                    Condition::Never => false,
                };
                grid = after;
                if done {
                    break;
                }
            },
        }
        Ok(grid)
    }
}

impl Grid {
    /// Digits, rows separated by spaces.
    pub(crate) fn parse(text: &str) -> Self {
        let row = |row: &str| {
            row.bytes()
                .map(|digit| digit.saturating_sub(b'0'))
                .collect()
        };
        Self {
            rows: text.split(' ').map(row).collect(),
        }
    }

    fn width(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    fn each(&mut self, change: impl Fn(u8) -> u8) {
        for color in self.rows.iter_mut().flatten() {
            *color = change(*color);
        }
    }

    fn transposed(&self) -> Self {
        let column = |x: usize| self.rows.iter().map(|row| row[x]).collect();
        Self {
            rows: (0..self.width()).map(column).collect(),
        }
    }

    fn shift(&mut self, down: usize, right: usize) {
        let (height, width) = (self.rows.len().max(1), self.width().max(1));
        self.rows.rotate_right(down % height);
        for row in &mut self.rows {
            row.rotate_right(right % width);
        }
    }

    fn cropped(&self) -> Self {
        let colored = |x: usize, y: usize| self.rows[y][x] != 0;
        let ys: Vec<usize> = (0..self.rows.len())
            .filter(|&y| (0..self.width()).any(|x| colored(x, y)))
            .collect();
        let xs: Vec<usize> = (0..self.width())
            .filter(|&x| (0..self.rows.len()).any(|y| colored(x, y)))
            .collect();
        let (top, bottom) = (ys[0], ys[ys.len() - 1]);
        let (left, right) = (xs[0], xs[xs.len() - 1]);
        let cut = |row: &Vec<u8>| row[left..=right].to_vec();
        Self {
            rows: self.rows[top..=bottom].iter().map(cut).collect(),
        }
    }

    fn doubled(&self) -> Result<Self, RunError> {
        let cells = 4 * self.rows.len() * self.width();
        if cells > CELLS_MAX {
            return Err(RunError::TooLarge { cells });
        }
        let wide = |row: &Vec<u8>| row.iter().flat_map(|color| [*color, *color]).collect();
        let rows: Vec<Vec<u8>> = self.rows.iter().map(wide).collect();
        Ok(Self {
            rows: rows
                .into_iter()
                .flat_map(|row| [row.clone(), row])
                .collect(),
        })
    }

    /// Colours fall to the lowest row of their column.
    fn fall(&mut self) {
        let mut columns = self.transposed();
        for column in &mut columns.rows {
            column.sort_by_key(|color| *color != 0);
        }
        *self = columns.transposed();
    }
}
