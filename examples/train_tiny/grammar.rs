//! Documents out of the rules in `grammar.txt`, which explains its notation.

use std::collections::HashMap;

use super::Result;
use super::rng::Rng;

/// The rules that ship with this example.
const RULES: &str = include_str!("grammar.txt");
/// Nesting of expansions; deeper means that a rule contains itself.
const DEPTH_MAX: usize = 32;

/// Parsed rules.
pub(crate) struct Grammar {
    rules: HashMap<String, Vec<Vec<Part>>>,
}

/// A piece of an alternative.
enum Part {
    Text(String),
    /// A rule expanded anew, with variables as arguments.
    Rule(String, Vec<String>),
    /// The text of an argument.
    Argument(usize),
    /// A whole number drawn anew.
    Number(usize, usize),
    /// A variable, and what its first use draws.
    Variable(String, Draw),
}

enum Draw {
    Rule(String, Vec<String>),
    Number(usize, usize),
}

impl Grammar {
    /// The rules of `grammar.txt`, checked: every rule that is used is there.
    pub(crate) fn load() -> Result<Self> {
        let mut rules: HashMap<String, Vec<Vec<Part>>> = HashMap::new();
        let mut current = String::new();
        let mut lines = RULES.lines().peekable();
        while let Some(line) = lines.next() {
            if line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']'))
                && !name.contains('"')
            {
                current = name.to_owned();
                rules.entry(current.clone()).or_default();
                // an empty line straight after the name is an empty alternative
                if lines.next_if(|l| l.is_empty()).is_some() {
                    rules.entry(current.clone()).or_default().push(Vec::new());
                }
                continue;
            }
            if line.is_empty() {
                continue;
            }
            let (times, text) = match line.split_once('*') {
                Some((n, rest)) if n.len() == 1 => (n.parse().unwrap_or(1), rest),
                _ => (1, line),
            };
            let alternatives = rules
                .get_mut(&current)
                .ok_or("text before the first rule")?;
            for _ in 0..times {
                alternatives.push(parse(text)?);
            }
        }
        let grammar = Self { rules };
        grammar.check()?;
        Ok(grammar)
    }

    fn check(&self) -> Result<()> {
        for part in self.rules.values().flatten().flatten() {
            if let Part::Rule(name, _) | Part::Variable(_, Draw::Rule(name, _)) = part
                && !self.rules.contains_key(name)
            {
                return Err(format!("no rule {name}").into());
            }
        }
        Ok(())
    }

    /// One document.
    pub(crate) fn document(&self, rng: &mut Rng) -> Result<String> {
        let mut out = String::new();
        let mut variables = HashMap::new();
        self.expand("document", &[], rng, &mut variables, 0, &mut out)?;
        Ok(out)
    }

    fn expand(
        &self,
        rule: &str,
        arguments: &[String],
        rng: &mut Rng,
        variables: &mut HashMap<String, String>,
        depth: usize,
        out: &mut String,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(format!("rule {rule} contains itself").into());
        }
        let alternatives = self.rules.get(rule).ok_or("unknown rule")?;
        let chosen = &alternatives[rng.below(alternatives.len())];
        for part in chosen {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Argument(index) => {
                    let text = arguments.get(*index).ok_or("missing argument")?;
                    out.push_str(text);
                }
                Part::Number(low, high) => out.push_str(&rng.between(*low, *high).to_string()),
                Part::Rule(name, names) => {
                    let values = resolve(names, variables)?;
                    self.expand(name, &values, rng, variables, depth + 1, out)?;
                }
                Part::Variable(name, draw) => {
                    if !variables.contains_key(name) {
                        let mut text = String::new();
                        match draw {
                            Draw::Number(low, high) => {
                                text = rng.between(*low, *high).to_string();
                            }
                            Draw::Rule(rule, names) => {
                                let values = resolve(names, variables)?;
                                self.expand(rule, &values, rng, variables, depth + 1, &mut text)?;
                            }
                        }
                        variables.insert(name.clone(), text);
                    }
                    out.push_str(&variables[name]);
                }
            }
        }
        Ok(())
    }
}

/// The texts of the variables `names`.
fn resolve(names: &[String], variables: &HashMap<String, String>) -> Result<Vec<String>> {
    let one = |name: &String| {
        let text = variables.get(name).cloned();
        text.ok_or_else(|| {
            format!("variable {name} is used as an argument before it is set").into()
        })
    };
    names.iter().map(one).collect()
}

fn parse(line: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("$(") {
        if at > 0 {
            parts.push(Part::Text(rest[..at].replace("\\n", "\n")));
        }
        let end = rest[at..]
            .find(')')
            .ok_or("an expression without its end")?
            + at;
        parts.push(expression(&rest[at + 2..end])?);
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.replace("\\n", "\n")));
    }
    Ok(parts)
}

fn expression(text: &str) -> Result<Part> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    if let Ok(index) = text.parse() {
        return Ok(Part::Argument(index));
    }
    let (name, draw) = match text.split_once(':') {
        Some((name, draw)) => (Some(name), draw),
        None => (None, text),
    };
    let draw = match draw.split_once("..") {
        Some((low, high)) => Draw::Number(low.parse()?, high.parse()?),
        None => {
            let mut names = words(draw);
            let rule = names.remove(0);
            Draw::Rule(rule, names)
        }
    };
    Ok(match (name, draw) {
        (Some(name), draw) => Part::Variable(name.to_owned(), draw),
        (None, Draw::Rule(rule, names)) => Part::Rule(rule, names),
        (None, Draw::Number(low, high)) => Part::Number(low, high),
    })
}
