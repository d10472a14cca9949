// Package fault has places in the data path panic when a test asks for it. Only
// a build with the tag panics does so: in every other one At is empty, is inlined
// to nothing, and Arm does not exist.
package fault
