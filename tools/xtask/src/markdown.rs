//! The repository's documents: their fences, and whether their links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 4] = ["target", "node_modules", ".git", "dist"];

/// One Markdown file.
pub struct Document {
    /// Path below the repository's root.
    pub name: String,
    /// Fenced blocks of code, in order.
    pub fences: Vec<Fence>,
    links: Vec<Link>,
    anchors: BTreeSet<String>,
}

/// A fenced block of code.
pub struct Fence {
    /// Line the fence starts in, from 1.
    pub line: usize,
    /// What stands behind the opening backticks.
    pub info: String,
    /// What is inside.
    pub text: String,
}

struct Link {
    line: usize,
    target: String,
}

/// All Markdown files below `root`, by path.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn read_all(root: &Path) -> Result<Vec<Document>> {
    let mut paths = Vec::new();
    collect(root, &mut paths)?;
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
            Ok(parse(&name, &text))
        })
        .collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() && !FOREIGN.iter().any(|foreign| name == *foreign) {
            collect(&entry.path(), paths)?;
        } else if kind.is_file() && entry.path().extension().is_some_and(|kind| kind == "md") {
            paths.push(entry.path());
        }
    }
    Ok(())
}

/// Reads one document.
pub fn parse(name: &str, text: &str) -> Document {
    let mut document = Document {
        name: name.to_owned(),
        fences: Vec::new(),
        links: Vec::new(),
        anchors: BTreeSet::new(),
    };
    let line_of = |offset: usize| text[..offset].matches('\n').count() + 1;
    let mut heading: Option<String> = None;
    let mut fence: Option<Fence> = None;
    let mut repeated: BTreeMap<String, usize> = BTreeMap::new();
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap_or_default());
                let count = repeated.entry(slug.clone()).or_default();
                document.anchors.insert(match *count {
                    0 => slug,
                    count => format!("{slug}-{count}"),
                });
                *count += 1;
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                fence = Some(Fence {
                    line: line_of(range.start),
                    info: info.to_string(),
                    text: String::new(),
                });
            }
            Event::End(TagEnd::CodeBlock) => document.fences.extend(fence.take()),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                let target = dest_url.to_string();
                document.links.push(Link { line: line_of(range.start), target });
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some(fence) = &mut fence {
                    fence.text.push_str(&part);
                }
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            _ => {}
        }
    }
    document
}

/// The anchor that code hosts give a heading.
fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Links of `document` to files or headings that are not there. Addresses on the web
/// are not looked up.
pub fn broken_links(document: &Document, root: &Path) -> Vec<String> {
    let folder = Path::new(&document.name).parent().unwrap_or(Path::new(""));
    let mut complaints = Vec::new();
    for Link { line, target } in &document.links {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let mut complain = |what: &str| {
            complaints.push(format!("{}:{line}: {target}: {what}", document.name));
        };
        let path =
            if path.is_empty() { root.join(&document.name) } else { root.join(folder).join(path) };
        if !path.exists() {
            complain("no such file");
        } else if !anchor.is_empty() && path.extension().is_some_and(|kind| kind == "md") {
            match fs::read_to_string(&path) {
                Ok(text) if parse("", &text).anchors.contains(anchor) => {}
                Ok(_) => complain("no such heading"),
                Err(error) => complain(&error.to_string()),
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_links_and_headings_are_found() {
        let text = "# The `one` & only\n\n[a](b.md#x) ![p](p.svg)\n\n## Twice\n## Twice\n\n\
                    ```sh not-run=\"x\"\nls\n```\n";
        let document = parse("d/e.md", text);
        let anchors: Vec<_> = document.anchors.iter().map(String::as_str).collect();
        assert_eq!(anchors, ["the-one--only", "twice", "twice-1"]);
        let targets: Vec<_> = document.links.iter().map(|l| (l.line, l.target.as_str())).collect();
        assert_eq!(targets, [(3, "b.md#x"), (3, "p.svg")]);
        assert_eq!(document.fences.len(), 1);
        assert_eq!(document.fences[0].line, 8);
        assert_eq!(document.fences[0].info, "sh not-run=\"x\"");
    }

    #[test]
    fn links_that_lead_nowhere_are_reported() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("d")).unwrap();
        fs::write(root.path().join("b.md"), "# X\n").unwrap();
        let text = "[1](../b.md) [2](../b.md#x) [3](../b.md#y) [4](c.md) [5](#here) \
                    [6](https://example.com/)\n\n# Here\n";
        fs::write(root.path().join("d/e.md"), text).unwrap();
        assert_eq!(
            broken_links(&parse("d/e.md", text), root.path()),
            ["d/e.md:1: ../b.md#y: no such heading", "d/e.md:1: c.md: no such file"]
        );
    }

    #[test]
    fn the_documents_of_this_repository_have_no_broken_links() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let documents = read_all(&root).unwrap();
        assert!(documents.iter().any(|document| document.name == "README.md"));
        let broken: Vec<_> = documents.iter().flat_map(|d| broken_links(d, &root)).collect();
        assert_eq!(broken, Vec::<String>::new());
    }
}
