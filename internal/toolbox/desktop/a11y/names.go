package a11y

import "strings"

// allRoles are AT-SPI's, by their numbers.
var allRoles = [...]string{
	"invalid", "accelerator label", "alert", "animation", "arrow", "calendar", "canvas", "check box", "check menu item",
	"color chooser", "column header", "combo box", "date editor", "desktop icon", "desktop frame", "dial", "dialog",
	"directory pane", "drawing area", "file chooser", "filler", "focus traversable", "font chooser", "frame", "glass pane",
	"html container", "icon", "image", "internal frame", "label", "layered pane", "list", "list item", "menu", "menu bar",
	"menu item", "option pane", "page tab", "page tab list", "panel", "password text", "popup menu", "progress bar", "push button",
	"radio button", "radio menu item", "root pane", "row header", "scroll bar", "scroll pane", "separator", "slider", "spin button",
	"split pane", "status bar", "table", "table cell", "table column header", "table row header", "tearoff menu item", "terminal",
	"text", "toggle button", "tool bar", "tool tip", "tree", "tree table", "unknown", "viewport", "window", "extended", "header",
	"footer", "paragraph", "ruler", "application", "autocomplete", "editbar", "embedded", "entry", "chart", "caption",
	"document frame", "heading", "page", "section", "redundant object", "form", "link", "input method window", "table row",
	"tree item", "document spreadsheet", "document presentation", "document text", "document web", "document email", "comment",
	"list box", "grouping", "image map", "notification", "info bar", "level bar", "title bar", "block quote", "audio", "video",
	"definition", "article", "landmark", "log", "marquee", "math", "rating", "timer", "static", "math fraction", "math root",
	"subscript", "superscript", "description list", "description term", "description value", "footnote", "content deletion",
	"content insertion", "mark", "suggestion", "push button menu",
}

// allStates are AT-SPI's, by their bits.
var allStates = [...]string{
	"invalid", "active", "armed", "busy", "checked", "collapsed", "defunct", "editable", "enabled", "expandable", "expanded",
	"focusable", "focused", "has_tooltip", "horizontal", "iconified", "modal", "multi_line", "multiselectable", "opaque", "pressed",
	"resizable", "selectable", "selected", "sensitive", "showing", "single_line", "stale", "transient", "vertical", "visible",
	"manages_descendants", "indeterminate", "required", "truncated", "animated", "invalid_entry", "supports_autocompletion",
	"selectable_text", "is_default", "visited", "checkable", "has_popup", "read_only",
}

const extendedRole = 70 // a role that has only a name

// roleName is "" for a role that is not in the table.
func roleName(role uint32) string {
	if role == extendedRole || role >= uint32(len(allRoles)) {
		return ""
	}
	return allRoles[role]
}

// stateNames are those of a set of bits, never nil.
func stateNames(set []uint32) []string {
	names := []string{}
	for i, name := range allStates {
		if word := i / 32; word < len(set) && set[word]>>(i%32)&1 == 1 {
			names = append(names, name)
		}
	}
	return names
}

// snake is a state as clients may write it, in the form of the table.
func snake(state string) string {
	return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(state))
}
