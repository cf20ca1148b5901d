package lm

import (
	"sync"

	"github.com/gomlx/gomlx/core/graph"
)

// programs are compiled graphs by what they compute.
type programs struct {
	sync.Mutex
	of map[string]*graph.Exec
}

func (p *programs) get(key string, build func() *graph.Exec) *graph.Exec {
	p.Lock()
	defer p.Unlock()
	if p.of == nil {
		p.of = map[string]*graph.Exec{}
	}
	if p.of[key] == nil {
		p.of[key] = build().SetMaxCache(-1).WithName(key)
	}
	return p.of[key]
}
