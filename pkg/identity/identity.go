// Package identity names configurations by what they compute, so that a result is found again under the same name.
//
// A hash is the first 12 hex digits of the SHA-256 of the configuration's JSON, in the order of its fields. A field that
// is added once results exist carries the tag
//
//	hash:"unless-default"
//
// and is left out while it equals its default: names given before it existed stay valid, and a result that was made
// without the field is the one that its default would give.
package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Named is a value that writes its own part of an identity, such as one that stands for several types.
type Named interface{ Identity() ([]byte, error) }

// Hash is the name of a configuration. Defaults is of the same type; it matters for tagged fields alone. The hash of what
// JSON cannot hold, such as NaN, is empty.
func Hash(value, defaults any) string {
	text, err := JSON(value, defaults)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:12]
}

// JSON is what Hash is of. Values of different types are an error.
func JSON(value, defaults any) ([]byte, error) {
	v, d := reflect.ValueOf(value), reflect.ValueOf(defaults)
	if v.IsValid() && (!d.IsValid() || v.Type() != d.Type()) {
		return nil, fmt.Errorf("identity: the defaults of a %T are of type %T", value, defaults)
	}
	var b bytes.Buffer
	err := write(&b, v, d)
	return b.Bytes(), err
}

var (
	named     = reflect.TypeFor[Named]()
	marshaler = reflect.TypeFor[json.Marshaler]()
)

func write(b *bytes.Buffer, v, d reflect.Value) error {
	switch {
	case v.IsValid() && v.Type().Implements(named):
		text, err := v.Interface().(Named).Identity()
		b.Write(text)
		return err
	case v.IsValid() && v.Kind() == reflect.Struct && !v.Type().Implements(marshaler):
		return writeFields(b, v, d)
	case v.IsValid() && v.Kind() == reflect.Slice && !v.IsNil() && v.Type().Elem().Kind() == reflect.Struct:
		return writeItems(b, v)
	}
	var plain any
	if v.IsValid() {
		plain = v.Interface()
	}
	text, err := json.Marshal(plain)
	b.Write(text)
	return err
}

func writeFields(b *bytes.Buffer, v, d reflect.Value) error {
	b.WriteByte('{')
	first := true
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			name = field.Name
		}
		if !field.IsExported() || name == "-" || strings.Contains(options, "omitempty") && empty(v.Field(i)) ||
			field.Tag.Get("hash") == "unless-default" && reflect.DeepEqual(v.Field(i).Interface(), d.Field(i).Interface()) {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		fmt.Fprintf(b, "%q:", name)
		if err := write(b, v.Field(i), d.Field(i)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	b.WriteByte('}')
	return nil
}

// writeItems has no defaults for the items but their zero values.
func writeItems(b *bytes.Buffer, v reflect.Value) error {
	b.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := write(b, v.Index(i), reflect.Zero(v.Type().Elem())); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

// empty is what encoding/json calls empty.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
