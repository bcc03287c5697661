// Command etcd is etcd itself; upstream's own main package would be compiled to a program named `server`.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
