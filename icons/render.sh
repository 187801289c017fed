#!/usr/bin/env bash
# Renders icons/src to what the app and its bundles use. Run it after a change there, look at the result
# (`icons/render.sh --sheet FILE.png` puts the tray's icons on dark and light bars), and commit both.
# Debian: librsvg2-bin imagemagick icnsutils
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Pixels of the tray's icons: Linux and Windows scale 32 down to their bar; macOS takes 22 points at twice the density.
TRAY=32
TEMPLATE=44

render() { # SOURCE SIZE TARGET [STYLESHEET]
  rsvg-convert --width "$2" --height "$2" ${4:+--stylesheet "$4"} --output "$3" "$1"
}

app() {
  render src/app.svg 32 app/32x32.png
  render src/app.svg 128 app/128x128.png
  render src/app.svg 256 app/128x128@2x.png
  render src/app.svg 512 app/icon.png
  local work sizes=() size
  work=$(mktemp -d)
  for size in 16 24 32 48 64 128 256 512 1024; do render src/app.svg "$size" "$work/$size.png"; done
  for size in 16 24 32 48 64 256; do sizes+=("$work/$size.png"); done
  convert "${sizes[@]}" app/icon.ico
  png2icns app/icon.icns "$work"/{16,32,48,128,256,512,1024}.png >/dev/null
  rm -r "$work"
}

tray() {
  local source state
  for source in src/tray/*.svg; do
    state=$(basename "$source" .svg)
    render "$source" "$TRAY" "tray/$state.png" src/tray/bar.css
    render "$source" "$TEMPLATE" "tray/template/$state.png"
  done
}

# A row for each bar and size, scaled from the 32 pixels as a panel does, and once more fourfold to look closely.
sheet() {
  local work rows=() bar size state cells
  work=$(mktemp -d)
  for bar in '#1e1e1e' '#3c3f41' '#f2f2f2' '#ffffff'; do
    for size in 16 22 32; do
      cells=()
      for state in not-joined connecting idle working throttled paused error; do
        convert "tray/$state.png" -resize "${size}x$size" -background "$bar" -gravity center -extent 40x40 \
          -scale 200% "$work/$state.png"
        cells+=("$work/$state.png")
      done
      convert "${cells[@]}" +append "$work/row-${#rows[@]}.png"
      rows+=("$work/row-${#rows[@]}.png")
    done
  done
  convert "${rows[@]}" -append "$1"
  rm -r "$work"
}

if [[ ${1:-} == --sheet ]]; then
  sheet "${2:?the picture to write}"
else
  app
  tray
fi
