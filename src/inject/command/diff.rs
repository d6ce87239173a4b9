//! What changes in a file, as `diff -u` shows it.

use std::fmt::Write as _;

/// How many lines that stay are shown around those that change.
const CONTEXT: usize = 3;
/// The most pairs of lines that are compared; beyond, all lines between the first and the last change
/// are shown as changed. 2,000 lines against as many.
const MOST_PAIRS: usize = 4_000_000;

/// A line and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// The hunks between two texts, which begin after so many lines of their files.
pub(super) fn hunks(old: &str, new: &str, old_line: usize, new_line: usize) -> String {
    let old: Vec<_> = old.split_inclusive('\n').collect();
    let new: Vec<_> = new.split_inclusive('\n').collect();
    let lines = compare(&old, &new);
    let mut out = String::new();
    let (mut at, mut old_at, mut new_at) = (0, old_line, new_line);
    while at < lines.len() {
        let is_change = |line: &Line| !matches!(line, Line::Same(_));
        let Some(next) = lines[at..].iter().position(is_change) else {
            break;
        };
        let skipped = next.saturating_sub(CONTEXT);
        let start = at + skipped;
        let mut end = at + next;
        // Until so many lines stay that the contexts of two changes do not touch.
        while let Some(more) = lines[end..]
            .iter()
            .take(2 * CONTEXT + 1)
            .position(is_change)
        {
            end += more + 1;
        }
        let end = lines.len().min(end + CONTEXT);
        (old_at, new_at) = (old_at + skipped, new_at + skipped);
        let hunk = &lines[start..end];
        let olds = hunk
            .iter()
            .filter(|line| !matches!(line, Line::New(_)))
            .count();
        let news = hunk
            .iter()
            .filter(|line| !matches!(line, Line::Gone(_)))
            .count();
        let place = |at, count| format!("{},{count}", at + usize::from(count > 0));
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "@@ -{} +{} @@",
            place(old_at, olds),
            place(new_at, news)
        );
        for line in hunk {
            let (sign, text) = match line {
                Line::Same(text) => (' ', text),
                Line::Gone(text) => ('-', text),
                Line::New(text) => ('+', text),
            };
            out.push(sign);
            out.push_str(text);
            if !text.ends_with('\n') {
                out.push_str("\n\\ No newline at end of file\n");
            }
        }
        (at, old_at, new_at) = (end, old_at + olds, new_at + news);
    }
    out
}

/// The lines of both, by a longest common subsequence.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let same =
        |pairs: usize, pair: &dyn Fn(usize) -> bool| (0..pairs).take_while(|i| pair(*i)).count();
    let shorter = old.len().min(new.len());
    let head = same(shorter, &|i| old[i] == new[i]);
    let tail = same(shorter - head, &|i| {
        old[old.len() - 1 - i] == new[new.len() - 1 - i]
    });
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let mut lines = Vec::new();
    lines.extend(old[..head].iter().map(|line| Line::Same(line)));
    between(&old[head..old_end], &new[head..new_end], &mut lines);
    lines.extend(old[old_end..].iter().map(|line| Line::Same(line)));
    lines
}

fn between<'a>(old: &[&'a str], new: &[&'a str], lines: &mut Vec<Line<'a>>) {
    let width = new.len() + 1;
    if old.len() * new.len() > MOST_PAIRS {
        lines.extend(old.iter().map(|line| Line::Gone(line)));
        lines.extend(new.iter().map(|line| Line::New(line)));
        return;
    }
    // The length of the longest common subsequence of what is left of both from here.
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for (i, line) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            longest[i * width + j] = if line == other {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        match (old.get(i), new.get(j)) {
            (Some(line), Some(other)) if line == other => {
                lines.push(Line::Same(line));
                (i, j) = (i + 1, j + 1);
            }
            (Some(line), other)
                if other.is_none()
                    || longest[(i + 1) * width + j] >= longest[i * width + j + 1] =>
            {
                lines.push(Line::Gone(line));
                i += 1;
            }
            (_, Some(line)) => {
                lines.push(Line::New(line));
                j += 1;
            }
            _ => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks_are_those_of_diff_u() {
        let old: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let new = old
            .replace("\n3\n", "\nthree\nand\n")
            .replace("\n18\n", "\n");
        let expected = "@@ -1,6 +1,7 @@\n 1\n 2\n-3\n+three\n+and\n 4\n 5\n 6\n\
                        @@ -15,6 +16,5 @@\n 15\n 16\n 17\n-18\n 19\n 20\n";
        assert_eq!(hunks(&old, &new, 0, 0), expected);
        assert!(hunks(&old, &new, 100, 90).starts_with("@@ -101,6 +91,7 @@\n"));
        assert_eq!(hunks(&old, &old, 0, 0), "");
    }

    #[test]
    fn changes_near_each_other_share_a_hunk_and_a_missing_line_break_is_told() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh";
        let new = "A\nb\nc\nd\ne\nf\ng\nH\n";
        let text = hunks(old, new, 0, 0);
        assert_eq!(text.matches("@@ -").count(), 1, "{text}");
        assert!(
            text.ends_with("-h\n\\ No newline at end of file\n+H\n"),
            "{text}"
        );
        assert_eq!(hunks("", "x\n", 0, 0), "@@ -0,0 +1,1 @@\n+x\n");
    }
}
