package a11y

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// target is a node that something is done with.
type target struct {
	ref
	*program
	interfaces []string
}

// target finds a node by its id. The caller calls end.
func (s *Service) target(client context.Context, id string) (t target, end func(), err error) {
	at, err := parseID(id)
	if err != nil {
		return t, nil, err
	}
	conn, err := s.buses.get(client)
	if err != nil {
		return t, nil, err
	}
	ctx, cancel := context.WithTimeout(client, conn.patience.walk)
	t = target{ref: at, program: newProgram(ctx, conn, at.bus)}
	// What is no node has none of them, so this tells of one that is gone from one
	// that cannot do what is asked.
	if err := t.call(t.path, accessible+".GetInterfaces").Store(&t.interfaces); err != nil {
		cancel()
		return t, nil, t.failure(err)
	}
	return t, cancel, nil
}

// failure is the answer for an error of a call.
func (t target) failure(err error) error {
	var failed dbus.Error
	switch {
	case errors.Is(err, errSilent), errors.Is(err, context.DeadlineExceeded):
		return silent()
	case errors.Is(err, context.Canceled):
		return canceled()
	case errors.Is(err, dbus.ErrClosed), !t.conn.Connected():
		return unavailable(err)
	case errors.As(err, &failed) && slices.Contains(goneErrors, failed.Name):
		return wire.Errorf(http.StatusNotFound, wire.NotFound, "there is no node %s: it is gone, or its program has ended; find it again", t.id())
	}
	return wire.Bad("the program refused: %v", err)
}

// goneErrors are how the bus and programs say that there is no such object.
var goneErrors = []string{
	"org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner",
	"org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownInterface",
	"org.freedesktop.DBus.Error.UnknownMethod", "org.freedesktop.DBus.Error.NoReply",
}

func (t target) can(what string) bool { return slices.Contains(t.interfaces, what) }

func (s *Service) focus(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		ID string `json:"id"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	t, end, err := s.target(r.Context(), req.ID)
	if err != nil {
		return err
	}
	defer end()
	if !t.can(component) {
		return wire.Bad("this node cannot take the focus: it is not on the screen")
	}
	if err := t.must("focusable"); err != nil {
		return err
	}
	var done bool
	if err := t.call(t.path, component+".GrabFocus").Store(&done); err != nil {
		return t.failure(err)
	}
	if !done {
		return wire.Bad("the program did not give this node the focus: click at its bounds instead")
	}
	return ok(w)
}

func (s *Service) invoke(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		ID     string `json:"id"`
		Action string `json:"action"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	t, end, err := s.target(r.Context(), req.ID)
	if err != nil {
		return err
	}
	defer end()
	var names []string
	if t.can(action) {
		if names, err = t.actions(t.path); err != nil {
			return t.failure(err)
		}
	}
	if len(names) == 0 {
		return wire.Bad("this node has no actions: take one that has (member actions), or click at its bounds")
	}
	index, err := choose(names, req.Action)
	if err != nil {
		return err
	}
	if err := t.must(); err != nil {
		return err
	}
	done, err := t.act(index)
	if err != nil {
		return t.failure(err)
	}
	if !done {
		return wire.Bad("the program did not do %q: look at the screen, and click at the node's bounds instead", names[index])
	}
	return ok(w)
}

// must refuses what a node that is disabled, or has not all of these states,
// cannot do. GTK says that it has clicked a disabled button, and that it has
// changed a text that it has not.
func (t target) must(states ...string) error {
	var set []uint32
	if err := t.call(t.path, accessible+".GetState").Store(&set); err != nil {
		return t.failure(err)
	}
	has := stateNames(set)
	if !slices.Contains(has, "sensitive") && !slices.Contains(has, "enabled") {
		return wire.Bad("this node is disabled: it has neither the state sensitive nor enabled")
	}
	for _, s := range states {
		if !slices.Contains(has, s) {
			return wire.Bad("this node is not %s: it has only the states %s", s, strings.Join(has, ", "))
		}
	}
	return nil
}

// choose is the index of an action by its name, or the first.
func choose(names []string, name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	if i := slices.Index(names, name); i >= 0 {
		return i, nil
	}
	if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, name) }); i >= 0 {
		return i, nil
	}
	return 0, wire.Bad("this node has no action %.80q, only %s", name, strings.Join(names, ", "))
}

// act does an action. A program that opens a dialog and waits for it answers
// only when that is closed. As it has just told of its actions, it does not hang:
// it has begun, and that is what the client wants to know.
func (t target) act(index int) (done bool, err error) {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	err = t.conn.Object(t.name, t.path).CallWithContext(ctx, action+".DoAction", dbus.FlagNoAutoStart, int32(index)).Store(&done)
	if err != nil && ctx.Err() != nil && t.ctx.Err() == nil {
		return true, nil
	}
	return done, err
}

func (s *Service) setValue(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		ID    string  `json:"id"`
		Value *string `json:"value"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if req.Value == nil {
		return wire.Bad("value is missing: an empty string clears a text")
	}
	if strings.ContainsRune(*req.Value, 0) {
		return wire.Bad("value contains a NUL character, which no text on the desktop can")
	}
	t, end, err := s.target(r.Context(), req.ID)
	if err != nil {
		return err
	}
	defer end()
	text, number := t.can(editableText), t.can(valued)
	switch {
	case !text && !number:
		return wire.Bad("this node takes neither a text nor a number: take one that is an entry, a slider or the like, or invoke its actions")
	case text:
		err = t.setText(*req.Value)
	}
	if n, perr := strconv.ParseFloat(*req.Value, 64); err == nil && number && (!text || perr == nil) {
		// A field for numbers, which has both, takes its text for a number only when
		// it loses the focus.
		err = t.setNumber(n, perr)
	}
	if err != nil {
		return err
	}
	return ok(w)
}

func (t target) setText(text string) error {
	if err := t.must("editable"); err != nil {
		return err
	}
	var done bool
	if err := t.call(t.path, editableText+".SetTextContents", text).Store(&done); err != nil {
		return t.failure(err)
	}
	if !done {
		return wire.Bad("the program did not take the text: focus the node, and type it instead")
	}
	return nil
}

func (t target) setNumber(n float64, perr error) error {
	if perr != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return wire.Bad("the value of this node is a number: write it as 12 or 0.5")
	}
	var all map[string]dbus.Variant
	if err := t.call(t.path, properties+".GetAll", valued).Store(&all); err != nil {
		return t.failure(err)
	}
	least, ok1 := all["MinimumValue"].Value().(float64)
	most, ok2 := all["MaximumValue"].Value().(float64)
	if ok1 && ok2 && least < most && (n < least || n > most) {
		return wire.Bad("the value of this node must be from %v to %v", least, most)
	}
	if err := t.call(t.path, properties+".Set", valued, "CurrentValue", dbus.MakeVariant(n)).Err; err != nil {
		return t.failure(err)
	}
	return nil
}

// ok is the answer of what has nothing to tell.
func ok(w http.ResponseWriter) error {
	wire.JSON(w, http.StatusOK, struct{}{})
	return nil
}
