use super::{
    entry::MenuEntry,
    figures::{Figures, figures},
    icon::{TEMPLATE, folder, image},
    view::{Action, View, view},
};
use crate::app_state::AppStateStore;
use gogrid_panel_api::{Mark, Request};
use jiff::Zoned;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tauri::{
    AppHandle, Wry,
    menu::{Menu, MenuItem, PredefinedMenuItem, Submenu},
    tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent},
};

const ID: &str = "gogrid";
const PAUSE_FOR: &str = "Pause for…";
/// Fixed, because trays on Linux show no change of a submenu's title.
const CHANGE_PRESET: &str = "Change preset";

/// The icon, and the parts of its menu that change.
pub(crate) struct Tray {
    icon: TrayIcon<Wry>,
    line: MenuItem<Wry>,
    act: MenuItem<Wry>,
    pause_for: Submenu<Wry>,
    takes: MenuItem<Wry>,
    today: MenuItem<Wry>,
    preset: MenuItem<Wry>,
    presets: Submenu<Wry>,
    figures: Mutex<Figures>,
    /// What is shown, because a click means what the donor has read.
    shown: Mutex<View>,
}

impl Tray {
    /// Shows the icon. `clicked` is called on the main thread and must not block.
    ///
    /// # Errors
    /// When the system has no tray.
    pub(crate) fn show(
        app: &AppHandle,
        app_state: &AppStateStore,
        data: &Path,
        clicked: impl Fn(&AppHandle, MenuEntry) + Clone + Send + Sync + 'static,
    ) -> tauri::Result<Arc<Self>> {
        let (first, figures) = app_state.read(|state| (view(state), figures(state)));
        let item = |entry: MenuEntry, enabled| MenuItem::with_id(app, entry.id(), entry.label(), enabled, None::<&str>);
        let line = MenuItem::new(app, text(&first.line), false, None::<&str>)?;
        let act = item(MenuEntry::PauseOrResume, first.enabled)?;
        let pause_for = Submenu::new(app, PAUSE_FOR, first.can_pause())?;
        for entry in MenuEntry::PAUSES {
            pause_for.append(&item(entry, true)?)?;
        }
        let note = |text: &str| MenuItem::new(app, text, false, None::<&str>);
        let (takes, today, preset) = (note(&figures.takes)?, note(&figures.today)?, note(&figures.preset)?);
        let presets = Submenu::new(app, CHANGE_PRESET, first.enabled)?;
        for entry in MenuEntry::PRESETS {
            presets.append(&item(entry, true)?)?;
        }
        let line_between = || PredefinedMenuItem::separator(app);
        let (above, below) = (line_between()?, line_between()?);
        let (open, quit) = (item(MenuEntry::Open, true)?, item(MenuEntry::Quit, true)?);
        let menu = Menu::with_items(
            app,
            &[&line, &takes, &today, &preset, &above, &act, &pause_for, &presets, &below, &open, &quit],
        )?;
        let left_click = clicked.clone();
        let icon = TrayIconBuilder::with_id(ID)
            .icon(image(first.mark))
            .icon_as_template(TEMPLATE)
            .temp_dir_path(folder(data)?)
            .tooltip(&first.line)
            .menu(&menu)
            .show_menu_on_left_click(false)
            .on_menu_event(move |app, event| {
                if let Some(entry) = MenuEntry::of(event.id().as_ref()) {
                    clicked(app, entry);
                }
            })
            .on_tray_icon_event(move |icon, event| {
                if is_left_click(&event) {
                    left_click(icon.app_handle(), MenuEntry::Open);
                }
            })
            .build(app)?;
        let (shown, figures) = (Mutex::new(first), Mutex::new(figures));
        Ok(Arc::new(Self { icon, line, act, pause_for, takes, today, preset, presets, figures, shown }))
    }

    /// Whether a click on this entry is meant to join a grid, as the menu reads now.
    pub(crate) fn is_join(&self, entry: MenuEntry) -> bool {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.enabled && shown.action == Action::Join && entry == MenuEntry::PauseOrResume
    }

    /// The request of a click, as the menu reads now. None for a disabled entry: some panels pass on clicks on those.
    pub(crate) fn request(&self, entry: MenuEntry) -> Option<Request> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.enabled.then(|| entry.request(shown.action, &Zoned::now()))?
    }

    /// Changes what differs. Called on the main thread, for which every single change would wait elsewhere.
    fn apply(&self, next: &View, figures: &Figures) -> tauri::Result<()> {
        self.apply_figures(figures)?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *shown, next.clone());
        drop(shown);
        if before.mark != next.mark {
            self.set_icon(next.mark)?;
        }
        if before.line != next.line {
            self.line.set_text(text(&next.line))?;
            self.icon.set_tooltip(Some(next.line.as_str()))?;
        }
        if before.action != next.action {
            self.act.set_text(Action::label(next.action))?;
        }
        if before.enabled != next.enabled {
            self.act.set_enabled(next.enabled)?;
        }
        if before.can_pause() != next.can_pause() {
            self.pause_for.set_enabled(next.can_pause())?;
        }
        if before.enabled != next.enabled {
            self.presets.set_enabled(next.enabled)?;
        }
        Ok(())
    }

    fn apply_figures(&self, next: &Figures) -> tauri::Result<()> {
        let mut shown = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *shown, next.clone());
        drop(shown);
        if before.takes != next.takes {
            self.takes.set_text(&next.takes)?;
        }
        if before.today != next.today {
            self.today.set_text(&next.today)?;
        }
        if before.preset != next.preset {
            self.preset.set_text(&next.preset)?;
        }
        Ok(())
    }

    fn set_icon(&self, mark: Mark) -> tauri::Result<()> {
        self.icon.set_icon_with_as_template(Some(image(mark)), TEMPLATE)
    }
}

/// Keeps the tray up to date, until the app ends.
pub(crate) async fn follow(app: AppHandle, tray: Arc<Tray>, app_state: AppStateStore) {
    let mut states = app_state.subscribe();
    let mut last = None;
    while states.changed().await.is_ok() {
        let next = {
            let state = states.borrow_and_update();
            (view(&state), figures(&state))
        };
        if last.as_ref() == Some(&next) {
            continue;
        }
        last = Some(next.clone());
        let tray = Arc::clone(&tray);
        let applied = app.run_on_main_thread(move || {
            if let Err(error) = tray.apply(&next.0, &next.1) {
                tracing::warn!("the tray cannot be changed: {error}");
            }
        });
        if applied.is_err() {
            return;
        }
    }
}

/// Escapes `&`, which marks a key in a menu.
fn text(line: &str) -> String {
    line.replace('&', "&&")
}

/// Trays on Linux report no clicks: every click opens the menu there.
fn is_left_click(event: &TrayIconEvent) -> bool {
    let (left, up) = (MouseButton::Left, MouseButtonState::Up);
    matches!(event, TrayIconEvent::Click { button, button_state, .. } if *button == left && *button_state == up)
}
