//! The task that the candidates are to solve, and the candidates: some right, some wrong, some
//! endless, some crashing, written as a program generator would write them.

use crate::language::Grid;

/// What a solver must turn into what: each grid mirrored to the side and colour 2 made 3.
pub(crate) fn examples() -> Vec<(Grid, Grid)> {
    [
        ("120 010 002", "031 010 300"),
        ("200 000 111", "003 000 111"),
        ("0000 0000", "0000 0000"),
        ("000 020 000", "000 030 000"),
    ]
    .map(|(input, output)| (Grid::parse(input), Grid::parse(output)))
    .into()
}

/// Programs from which the candidates are made, and what each is an example of.
const TEMPLATES: [&str; 16] = [
    // Right, in several ways.
    "flop ; recolor 2 3",
    "recolor 2 3 ; flop",
    "transpose ; flip ; transpose ; recolor 2 3",
    "repeat 2 { turn } ; flip ; recolor 2 3",
    "repeat 200 { flop ; flop } ; flop ; recolor 2 3",
    "until stable { recolor 2 3 } ; flop",
    // Wrong.
    "flip ; recolor 2 3",
    "flop",
    "turn ; recolor 2 3",
    "gravity ; flop",
    "shift 1 1 ; flop ; recolor 2 3",
    // Too large for the machine.
    "repeat 30 { double } ; flop",
    // Crashing: there is nothing to crop in the third example.
    "crop ; flop ; recolor 2 3",
    // Endless.
    "until never { flop }",
    "until empty { shift 1 0 } ; flop",
    // No program at all.
    "flop ; recolour 2 3",
];

/// `count` candidates. They go through the templates and differ by steps that undo one
/// another, except that every 25th repeats an earlier one literally.
pub(crate) fn candidates(count: usize) -> Vec<String> {
    (0..count)
        .map(|index| {
            let number = if index % 25 == 24 { index - 16 } else { index };
            let (template, variant) = (number % TEMPLATES.len(), number / TEMPLATES.len());
            let mut program = TEMPLATES[template].to_owned();
            for bit in 0..7 {
                if variant >> bit & 1 == 1 {
                    let step = ["flip", "flop", "transpose", "shift 0 0"][bit % 4];
                    let times = 2 * (bit / 4 + 1);
                    program = format!("repeat {times} {{ {step} }} ; {program}");
                }
            }
            program
        })
        .collect()
}
