//! The pages of containers that an earlier incarnation left: served as they are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Error, Home, StoredPart, Verdict,
    flushing::NewFields,
    plan::Plan,
    recover::{Leftover, PagesAt, StageContents},
    retention::is_dropped,
};
use crate::{
    index::{Index, Layout},
    model::{Day, LayoutId, SeqNo},
    parts::{self, Part},
    stage::LayoutDefinition,
};

/// Pages, and what they tell of streams.
#[derive(Default)]
pub(crate) struct Opened {
    pub(crate) pages: Vec<Arc<StoredPart>>,
    pub(crate) fields: BTreeMap<Day, NewFields>,
}

impl Opened {
    /// Opens the pages of a plan's commits. Which fields their streams have is told by the commits; only in a file where
    /// one of them is damaged, the pages themselves are read.
    pub(crate) fn new(
        stage: &StageContents,
        plan: &Plan,
        verdict: &Verdict,
        dropped: &[(Day, SeqNo)],
        index: &Index,
    ) -> Result<Self, Error> {
        let mut opened = Self::default();
        for commit in plan.commits.iter().map(|place| &stage.commits[*place]) {
            opened.open(commit, &stage.files[commit.file], dropped, index)?;
        }
        for (file, leftover) in stage.files.iter().enumerate().filter(|(_, leftover)| !leftover.is_damaged) {
            let layouts = local_layouts(leftover, index);
            // What a commit names holds for all later ones of its file: also where its own pages are parts by now.
            for commit in stage.commits.iter().filter(|commit| commit.file == file && verdict.keeps(commit.span)) {
                opened.note(commit, &layouts, index);
            }
        }
        Ok(opened)
    }

    fn open(
        &mut self,
        commit: &PagesAt,
        leftover: &Leftover,
        dropped: &[(Day, SeqNo)],
        index: &Index,
    ) -> Result<(), Error> {
        let (container, numbers) = (Arc::from(&*leftover.path), commit.span.numbers());
        // A page that was written of older batches when the day was dropped holds nothing newer: that is refused.
        let is_kept = |day| !is_dropped(dropped, day, commit.span.from);
        for (page, summary) in commit.pages.iter().filter(|(page, _)| is_kept(page.day)) {
            let home = Home::Page(Arc::clone(&container), commit.offset + page.offset);
            let stored = StoredPart::new(home, Arc::clone(&leftover.file), page.day, numbers, *summary);
            let fields = self.fields.entry(page.day).or_default();
            if leftover.is_damaged {
                let read =
                    stored.part().map_err(|damage| damage.error).and_then(|part| read_fields(part, index, fields));
                let failed = |source| Error::Part { action: "open page of", path: leftover.path.clone(), source };
                read.map_err(failed)?;
            }
            self.pages.push(Arc::new(stored));
        }
        Ok(())
    }

    /// Takes what a commit says of the streams of days that have pages.
    fn note(&mut self, commit: &PagesAt, layouts: &HashMap<LayoutId, Arc<Layout>>, index: &Index) {
        for ((page, _), uses) in commit.pages.iter().zip(&commit.uses) {
            let Some(fields) = self.fields.get_mut(&page.day) else { continue };
            let known = uses.iter().filter(|(stream, _)| index.streams.table(*stream).is_some());
            for (stream, layout) in known.filter_map(|(stream, layout)| Some((*stream, layouts.get(layout)?))) {
                index.streams.note_layout(stream, layout);
                fields.entry(stream).or_default().extend(&layout.fields);
            }
        }
    }
}

/// A file's layouts, as this process has them.
fn local_layouts(leftover: &Leftover, index: &Index) -> HashMap<LayoutId, Arc<Layout>> {
    let local = |defined: &LayoutDefinition| {
        let names: Vec<&str> = defined.fields.iter().map(|name| &**name).collect();
        let (layout, _) = index.layout(&defined.table, &names).ok()?;
        Some((defined.id, Arc::clone(index.schema.layout(layout))))
    };
    leftover.layouts.values().filter_map(local).collect()
}

/// The numbers of a plan's commits with streams that nothing names. Only damage does that.
pub(super) fn nameless(
    stage: &StageContents,
    plan: &Plan,
    dropped: &[(Day, SeqNo)],
    index: &Index,
) -> Result<Vec<(SeqNo, SeqNo)>, Error> {
    let mut nameless = Vec::new();
    let commits = plan.commits.iter().map(|place| &stage.commits[*place]);
    for commit in commits.filter(|commit| stage.files[commit.file].is_damaged) {
        let leftover = &stage.files[commit.file];
        let failed = |source| Error::Part { action: "open page of", path: leftover.path.clone(), source };
        let is_kept = |day| !is_dropped(dropped, day, commit.span.from);
        for (page, _) in commit.pages.iter().filter(|(page, _)| is_kept(page.day)) {
            let base = commit.offset + page.offset;
            let part = Part::open(Arc::clone(&leftover.file), base, page.size).map_err(failed)?;
            if !read_fields(&part, index, &mut NewFields::new()).map_err(failed)? {
                nameless.push(commit.span.numbers());
            }
        }
    }
    Ok(nameless)
}

/// Tells the index which fields the streams of a part image have; whether all of its streams are known.
pub(super) fn read_fields(part: &Part, index: &Index, fields: &mut NewFields) -> Result<bool, parts::Error> {
    let (mut scan, mut all_known) = (part.scan(), true);
    while let Some(group) = scan.next_group()? {
        let names: Vec<&str> = group.fields().map(|(name, _)| name).collect();
        let Ok((layout, _)) = index.layout(group.table, &names) else { continue };
        let layout = index.schema.layout(layout);
        if index.streams.table(group.stream).is_some() {
            index.streams.note_layout(group.stream, layout);
            fields.entry(group.stream).or_default().extend(&layout.fields);
        } else {
            all_known = false;
        }
    }
    Ok(all_known)
}
