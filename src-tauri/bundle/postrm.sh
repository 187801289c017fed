#!/bin/sh
# After the package's files have gone: takes the app out of every user's programs that start at login, where it would
# be looked for in vain. Nothing else in anybody's home is touched: settings and weights stay, `rm -r
# ~/.local/share/org.gogrid.desktop` removes them.
#
# An entry goes only if it starts this app. It is removed with the rights of whom the home belongs to, so that a link
# laid there leads to nothing that its owner could not remove as well.
set -eu

# dpkg says what happens in words, rpm by how many versions are left.
case "${1:-}" in
  remove | purge | 0) ;;
  *) exit 0 ;;
esac

ENTRY=.config/autostart/GoGrid.desktop

for home in $(getent passwd | cut -d: -f6 | sort -u) /home/*; do
  [ -e "$home/$ENTRY" ] || continue
  user=$(stat -c %u "$home")
  group=$(stat -c %g "$home")
  # shellcheck disable=SC2016 # the inner shell knows its argument
  setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs sh -c '
    grep -q "^Exec=.*/usr/bin/gogrid-desktop" "$1" && rm -f "$1"
  ' sh "$home/$ENTRY" || :
done
