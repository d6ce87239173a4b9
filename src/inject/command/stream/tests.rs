use super::*;

fn read(text: &str) -> Vec<Piece> {
    let mut faults = Faults::default();
    let pieces = pieces(text, "f", &mut faults);
    assert!(faults.is_empty(), "{text}: {faults}");
    assert_eq!(
        pieces
            .iter()
            .map(|piece| piece.text.as_str())
            .collect::<String>(),
        text
    );
    pieces
}

fn faults(text: &str) -> Vec<String> {
    let mut faults = Faults::default();
    pieces(text, "f", &mut faults);
    faults.lines().to_vec()
}

#[test]
fn pieces_in_a_row_are_the_file() {
    for (text, documents) in [
        ("", 0),
        ("# nothing\n", 0),
        ("a: 1", 1),
        ("a: 1\r\n---\r\nb: 2\r\n", 2),
        ("%YAML 1.1\n---\na: 1\n...\n---\n# c\n---\nb: 1\n", 2),
        ("--- {a: 1}\n--- # x\nb: |\n  ---\n---", 2),
        ("{\"a\": 1}", 1),
        (" {\"a\": 1}\n\n{\"a\": 2}{\"b\": 1} \n", 3),
        ("---\n{\"a\": 1}\n---\n{\"a\": 1}\n", 2),
        ("{a: 1, b: 2}\n", 1),
    ] {
        let pieces = read(text);
        let found = pieces
            .iter()
            .filter(|piece| piece.document.is_some())
            .count();
        assert_eq!(found, documents, "{text:?}");
        let mut lines = 0;
        for piece in pieces {
            assert_eq!(piece.line, lines, "{text:?}");
            lines += piece.text.matches('\n').count();
        }
    }
}

#[test]
fn what_is_before_and_after_a_document_stays() {
    let text = "\
# a licence
a: 1 # one
---
# Source: chart/web.yaml
# by hand

b:
  # two
  c: [x]

# of the next
---
--- {d: 1}
";
    let pieces = read(text);
    let rewritten: Vec<_> = pieces.iter().map(Piece::rewritten).collect();
    let expected = [
        "# a licence\na: 1\n",
        "---\n# Source: chart/web.yaml\n# by hand\n\nb:\n  c: [x]\n# of the next\n",
        "---\n",
        "---\n{d: 1}\n",
    ];
    assert_eq!(rewritten, expected);
    let lost: Vec<_> = pieces.iter().map(Piece::lost_comments).collect();
    assert_eq!(lost, [1, 1, 0, 0]);
}

#[test]
fn json_stays_json() {
    let pieces = read("---\n{\"b\": 1, \"a\": [1e3, \"\\ud83d\\ude00\"]}\n {\"c\": {}}\n");
    let expected =
        "---\n{\n    \"b\": 1,\n    \"a\": [\n        1000.0,\n        \"\u{1f600}\"\n    ]\n}";
    assert_eq!(pieces[0].rewritten(), expected);
    assert_eq!(pieces[1].rewritten(), "\n {\n    \"c\": {}\n}");
    assert_eq!(pieces[2].rewritten(), "\n");
}

#[test]
fn every_fault_is_told_with_its_line() {
    assert_eq!(
        faults("a: 1\n---\nb: [\n---\nc: 1\nc: 2\n").len(),
        2,
        "one document costs its neighbours nothing"
    );
    assert_eq!(
        faults("a: 1\n---\nc: 1\nc: 2\n"),
        ["f:4: not readable as YAML: the key \"c\" stands twice"]
    );
    let fault = &faults("{\"a\": 1}\n{\"a\": 1,\n  \"a\" 2}\n")[0];
    assert!(
        fault.starts_with("f:3: not readable as JSON: expected `:`"),
        "{fault}"
    );
    let mut told = Faults::default();
    assert!(
        sources(
            &[Input::Path("/nowhere".into())],
            &mut std::io::empty(),
            &mut told
        )
        .is_empty()
    );
    assert!(sources(&[Input::Stdin], &mut &b"\xff"[..], &mut told).is_empty());
    assert_eq!(told.lines().len(), 2, "{told}");
}

#[test]
fn a_template_is_told_to_be_rendered_first() {
    for text in [
        "a: {{ .Values.a }}\n",
        "{{- if .Values.a }}\na: 1\n{{- end }}\n",
    ] {
        let told = faults(text);
        assert!(
            told.len() == 1 && told[0].contains("helm template"),
            "{told:?}"
        );
    }
    assert!(!faults("a: [\n")[0].contains("helm"));
    assert!(faults("a: '{{ .Values.a }}'\n").is_empty());
}
